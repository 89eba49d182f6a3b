// Examples and shell lines run in the programs that they are for.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { example, placeOf, type Language } from "../src/examples";
import { applied, decided, deleted, patched, rotated } from "../src/kubectl";
import { word } from "../src/shell";
import type { Credentials } from "../src/types";

const KEY = "ptlk_0aZ'$\"`!";
const URL_OF = "https://api.example.com/items/{id}?$filter=a!b&c='; touch pwned #";
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const KINDS: [string, Credentials, string][] = [
  ["prefix", { authorizationHeader: { prefix: "it's \"x\" `id` $(id)" } }, `Authorization: it's "x" \`id\` $(id) ${KEY}`],
  ["no prefix", { authorizationHeader: { prefix: "" } }, `Authorization: ${KEY}`],
  ["header", { customHeader: { name: "X-API-Key" } }, `X-API-Key: ${KEY}`],
  ["query", { queryString: { name: "a&b=c d" } }, `a%26b%3Dc%20d=${KEY}`],
  ["cookie", { cookie: { name: "KEY" } }, `KEY=${KEY}`],
];

/** What curl gets as its arguments. */
function argumentsOf(text: string): string[] {
  const script = text.replace(/^read -rs API_KEY\n/, "");
  const shell = `curl() { printf '%s\\0' "$@"; }\nkubectl() { printf '%s\\0' "$@"; }\n${script}`;
  const output = execFileSync("sh", ["-c", shell], { env: { ...process.env, API_KEY: KEY } });
  return output.toString().split("\0").slice(0, -1);
}

function made(language: Language, credentials: Credentials, key?: string): string {
  const place = placeOf(credentials);
  assert.notEqual(typeof place, "string", String(place));
  return example(language, place as Exclude<typeof place, string>, URL_OF, key);
}

for (const [name, credentials, carried] of KINDS) {
  for (const key of [undefined, KEY]) {
    test(`curl gets the key in its place: ${name}, ${key ? "with" : "without"} the key in the text`, () => {
      const words = argumentsOf(made("cURL", credentials, key));
      assert.equal(words.at(-1), carried);
      assert.ok(words.includes(URL_OF), words.join(" | "));
      assert.equal(made("cURL", credentials, key).includes("ptlk_"), key !== undefined);
    });

    test(`Node.js, Python and Go can read it: ${name}, ${key ? "with" : "without"} the key`, () => {
      execFileSync(process.execPath, ["--input-type=module", "--check", "-"], { input: made("Node.js", credentials, key) });
      const compile = "import sys; compile(sys.stdin.read(), 'example', 'exec')";
      execFileSync("python3", ["-c", compile], { input: made("Python", credentials, key) });
      const go = spawnSync("gofmt", ["-e"], { input: made("Go", credentials, key) });
      if (!go.error) assert.equal(go.status, 0, go.stderr.toString());
    });
  }
}

/** What a server is asked by a line that somebody has pasted into a shell. */
async function askedBy(shell: string, credentials: Credentials): Promise<IncomingMessage> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const asked = new Promise<IncomingMessage>((resolve) => {
    server.on("request", (request, response) => {
      response.end("ok");
      resolve(request);
    });
  });
  const place = placeOf(credentials) as Exclude<ReturnType<typeof placeOf>, string>;
  const { port } = server.address() as AddressInfo;
  const line = example("cURL", place, `http://127.0.0.1:${port}/items/x?$filter=a!b`);
  const child = execFile(shell, ["-c", line.replace("read -rs API_KEY", "IFS= read -r API_KEY")]);
  child.stdin?.end(`${KEY}\n`);
  try {
    return await asked;
  } finally {
    server.close();
  }
}

for (const shell of ["sh", "bash"]) {
  test(`a pasted line asks for what it shows, in ${shell}`, async () => {
    const header = await askedBy(shell, { customHeader: { name: "X-API-Key" } });
    assert.equal(header.headers["x-api-key"], KEY);
    assert.equal(header.url, "/items/x?$filter=a!b");
    const cookie = await askedBy(shell, { cookie: { name: "KEY" } });
    assert.equal(cookie.headers.cookie, `KEY=${KEY}`);
    const query = await askedBy(shell, { queryString: { name: "a&b=c d" } });
    assert.equal(query.method, "GET");
    const parameters = new URL(query.url ?? "", "http://x").searchParams;
    assert.deepEqual([...parameters.entries()], [["$filter", "a!b"], ["a&b=c d", KEY]]);
  });
}

test("where nothing is said of it, the key is a bearer token", () => {
  for (const credentials of [{}, { authorizationHeader: {} }]) {
    assert.equal(argumentsOf(made("cURL", credentials)).at(-1), `Authorization: Bearer ${KEY}`, JSON.stringify(credentials));
  }
});

test("names that no request can carry give a text instead of a program", () => {
  const wrong: Credentials[] = [
    { customHeader: { name: "X-Key$(id)\r\nHost: x" } },
    { cookie: { name: "a;b" } },
    { authorizationHeader: { prefix: "a\nb" } },
    { queryString: { name: "" } },
  ];
  for (const credentials of wrong) assert.equal(typeof placeOf(credentials), "string", JSON.stringify(credentials));
});

test("a word is one word, with the same bytes", () => {
  for (const text of ["", "a b", "it's", "$HOME `id` !x \\", "*", "~", "x; rm -rf ~", "ä", "--flag"]) {
    assert.deepEqual(argumentsOf(`curl ${word(text)}`), [text]);
  }
  for (const text of ["a\nb", "\u001b[201~", "a\tb'c\\d"]) {
    const output = execFileSync("bash", ["-c", `printf %s ${word(text)}`]).toString();
    assert.equal(output, text);
  }
});

test("kubectl lines carry names and reasons as they are", () => {
  const meta = { name: "x; rm -rf ~", namespace: "it's" };
  assert.deepEqual(argumentsOf(deleted("apikey", meta)), ["delete", "apikey", meta.name, "-n", meta.namespace]);
  const patch = { spec: { useCase: "it's $HOME" } };
  assert.deepEqual(JSON.parse(argumentsOf(patched("APIKey", meta, patch)).at(-1) ?? ""), patch);
  for (const [by, reason] of [
    ["o'brien", 'no "gold"; $(id) "NOW"'],
    ["NOW", "a\u007fb\nEOF\n'c'"],
  ] as const) {
    const words = argumentsOf(decided(meta, "Rejected", by, reason));
    assert.ok(words.includes("--subresource=status"), words.join(" "));
    const { status } = JSON.parse(words.at(-1) ?? "");
    assert.deepEqual([status.reason, status.reviewedBy], [reason, by]);
    assert.match(status.reviewedAt, TIME);
  }
  for (const [overlap, kept] of [
    [undefined, null],
    ["0", "0"],
  ] as const) {
    const { annotations } = JSON.parse(argumentsOf(rotated(meta, overlap)).at(-1) ?? "").metadata;
    assert.match(annotations["devportal.kuadrant.io/rotate-requested-at"], TIME);
    assert.equal(annotations["devportal.kuadrant.io/rotate-overlap"], kept);
  }
});

test("what is patched is on the standard input, so that nobody needs to read it from the cluster", () => {
  const meta = { name: "x-1", namespace: "it's" };
  for (const line of [patched("APIKey", meta, {}), decided(meta, "Approved", "o", ""), rotated(meta)]) {
    const words = argumentsOf(line);
    assert.deepEqual(words.slice(0, 3), ["patch", "-f", "-"]);
    assert.ok(!words.some((one) => one.includes(meta.name)), words.join(" "));
    const read = execFileSync("sh", ["-c", `kubectl() { cat; }\n${line}`]).toString();
    assert.match(read, /^kind: APIKey\nmetadata:\n  name: "x-1"\n  namespace: "it's"$/m);
  }
});

test("a manifest ends where it should", () => {
  const odd = "a\u007f\u0080\u0085\u009f b\u2028---\u2029\ufeff\ufffe\uffff ä";
  const spec = { displayName: "EOF\nEOF\n$(id)", description: odd, tags: ["a: b", "- c"], documentation: {}, targetRef: { kind: "HTTPRoute", name: "no" } };
  const text = applied("apply", "APIProduct", { name: "a", annotations: { "backstage.io/owner": "x#y", [odd]: odd } }, spec);
  const parse = "import sys, json, yaml; print(json.dumps(yaml.safe_load(sys.stdin.read())))";
  const body = text.split("\n").slice(1, -1).join("\n");
  assert.equal(text.split("\n").filter((line) => line === "EOF").length, 1);
  assert.doesNotMatch(body, /[^\n -~ä]/u);
  if (spawnSync("python3", ["-c", "import yaml"]).status !== 0) return;
  const parsed = spawnSync("python3", ["-c", parse], { input: body, env: { ...process.env, PYTHONIOENCODING: "utf8" } });
  assert.equal(parsed.status, 0, parsed.stderr.toString());
  const read = JSON.parse(parsed.stdout.toString());
  assert.equal(read.spec.displayName, spec.displayName);
  assert.equal(read.spec.description, odd);
  assert.equal(read.metadata.annotations[odd], odd);
  assert.deepEqual(read.spec.tags, spec.tags);
  assert.equal(read.spec.targetRef.name, "no");
  assert.equal(read.metadata.annotations["backstage.io/owner"], "x#y");
});
