// Runs the audits of graphql-http against a gateway, and prints one JSON line: what each found.
import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);
const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set("authorization", `Bearer ${process.env.TOKEN}`);
  return fetch(input, { ...init, headers, signal: AbortSignal.timeout(20_000) });
};
const results = [];
for (const audit of serverAudits({ url, fetchFn })) {
  const { status, reason } = await audit.fn();
  results.push({ id: audit.id, name: audit.name, status, reason: reason ?? "" });
}
console.log(JSON.stringify(results));
