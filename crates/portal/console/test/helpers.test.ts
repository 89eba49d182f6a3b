// Limits, phases, input and the parts of a request, as tables.
import assert from "node:assert/strict";
import test from "node:test";
import { limitLines, limitText, tierText } from "../src/limits";
import { authOf, daysLeft, phaseOf, whyNoRequest } from "../src/phases";
import { filledPath, firstHost, hostProblem, parsedHeaders, pretty } from "../src/try-parts";
import { pageInstead, type Key, type Phase, type Product } from "../src/types";
import { emailProblem, endOfDay, isWeb, nameProblem, slug, urlProblem } from "../src/validation";

const NOW = Date.parse("2026-06-01T00:00:00Z");

function keyIn(phase: Phase | undefined, expiresAt?: string): Key {
  return {
    metadata: { name: "k", namespace: "n" },
    spec: { apiProductRef: { name: "p" }, planTier: "gold", requestedBy: { userId: "alice" }, ...(expiresAt ? { expiresAt } : {}) },
    ...(phase ? { status: { phase } } : {}),
  };
}

function product(status: Product["status"]): Product {
  const spec = { displayName: "P", targetRef: { kind: "HTTPRoute", name: "r" } };
  return { metadata: { name: "p", namespace: "n" }, spec, ...(status ? { status } : {}) };
}

test("limits read in the order of their periods, zero among them", () => {
  const limits = { yearly: 1, daily: 0, weekly: 1000, custom: [{ limit: 10, window: "1m" }] };
  assert.deepEqual(limitLines(limits), ["0 per day", "1,000 per week", "1 per year", "10 per 1m"]);
  assert.equal(limitText({}), "No limit");
  assert.equal(tierText({ tier: "gold", limits: { daily: 100, custom: [{ limit: 10, window: "1m" }] } }), "gold (100 per day, 10 per 1m)");
});

test("an approved key whose time is over has expired", () => {
  const rows: [Phase | undefined, string | undefined, Phase][] = [
    [undefined, undefined, "Pending"],
    ["Approved", undefined, "Approved"],
    ["Approved", "2026-06-01T00:00:01Z", "Approved"],
    ["Approved", "2026-06-01T00:00:00Z", "Expired"],
    ["Pending", "2026-01-01T00:00:00Z", "Pending"],
    ["Rejected", "2026-01-01T00:00:00Z", "Rejected"],
    ["Expired", undefined, "Expired"],
  ];
  for (const [phase, end, wanted] of rows) assert.equal(phaseOf(keyIn(phase, end), NOW), wanted, `${phase} ${end}`);
  assert.equal(daysLeft("2026-06-01T00:00:01Z", NOW), 1);
  assert.ok(daysLeft("2026-05-31T23:59:59Z", NOW) <= 0);
});

test("a request that cannot be made says why", () => {
  const plans = { discoveredPlans: [{ tier: "gold" }] };
  assert.match(whyNoRequest(product(plans), undefined) ?? "", /^Email address is required/);
  assert.equal(whyNoRequest(product(plans), "a@example.com"), undefined);
  assert.equal(whyNoRequest(product(undefined), "a@example.com"), "No plans available");
  const missing = { type: "PlanPolicyDiscovered", status: "False", message: "PlanPolicy not found" };
  assert.equal(whyNoRequest(product({ conditions: [missing] }), "a@example.com"), "No plans discovered: PlanPolicy not found");
  const unready = { ...plans, conditions: [{ type: "Ready", status: "False", message: "not accepted" }] };
  assert.equal(whyNoRequest(product(unready), "a@example.com"), "HTTPRoute not ready: not accepted");
});

test("any scheme counts, wherever it stands", () => {
  const authentication = { a: { apiKey: {} }, b: { jwt: { issuerUrl: "https://idp" } } };
  assert.deepEqual(authOf(product({ discoveredAuthScheme: { authentication } })), { apiKey: true, oidc: true, issuer: "https://idp" });
  assert.deepEqual(authOf(product({})), { apiKey: false, oidc: false });
});

test("input is judged as the server judges it", () => {
  assert.equal(nameProblem(""), "Name is required");
  assert.equal(nameProblem("a".repeat(246)), "Must be 245 characters or less");
  for (const name of ["-a", "a-", "A", "a_b", "a.b"]) assert.match(nameProblem(name) ?? "", /^Must be lowercase/);
  assert.equal(nameProblem("toys-1a2b3c"), undefined);
  assert.equal(urlProblem("nonsense"), "Must be a valid URL");
  assert.equal(urlProblem("javascript:alert(1)"), "Must be a valid HTTP or HTTPS URL");
  assert.equal(urlProblem(""), undefined);
  assert.equal(isWeb("javascript:alert(1)"), false);
  assert.equal(emailProblem("a@b"), "Must be an email address");
});

test("names become names of resources", () => {
  assert.equal(slug("Müller's Toy Store!", "1a2b3c"), "mu-ller-s-toy-store-1a2b3c");
  assert.equal(slug("日本", "1a2b3c"), "");
  assert.equal(nameProblem(slug("x".repeat(500), "1a2b3c")), undefined);
});

test("a chosen day ends with its last second", () => {
  assert.equal(new Date(endOfDay("2026-06-01") ?? "").getHours(), 23);
  assert.equal(endOfDay(""), undefined);
});

test("parameters stay in their places", () => {
  const parameters = [
    { name: "id", in: "path" },
    { name: "q", in: "query" },
    { name: "empty", in: "query" },
  ];
  const filled = filledPath("/items/{id}?x=1", { id: "../a b", q: "a&b" }, parameters);
  assert.deepEqual(filled, { path: "/items/..%2Fa%20b", query: "x=1&q=a%26b" });
  assert.deepEqual(filledPath("/items", {}, []), { path: "/items" });
  assert.deepEqual(parsedHeaders("A: b:c\n\n  X \n"), { A: "b:c", X: "" });
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(pretty("<p>"), "<p>");
});

test("a wildcard stands for hosts below it, and for nothing else", () => {
  assert.equal(firstHost(["*.a.org", "b.a.org"]), "b.a.org");
  assert.equal(firstHost(["*.a.org"]), "*.a.org");
  assert.equal(firstHost([]), "");
  assert.equal(hostProblem("anything", "b.a.org"), undefined);
  assert.equal(hostProblem("x.y.a.org", "*.a.org"), undefined);
  for (const host of ["", "a.org", ".a.org", "x.b.org", "x_y.a.org", "x:1.a.org", "*.a.org", "-x.a.org"]) {
    assert.equal(hostProblem(host, "*.a.org"), "Must be a host name that ends with .a.org", host);
  }
});

test("a page that is gone gives way to the last one", () => {
  const list = (items: number, total: number) => ({ items: Array.from({ length: items }), total, page: 3, pageSize: 20 });
  const rows: [ReturnType<typeof list> | undefined, number | undefined][] = [
    [undefined, undefined],
    [list(0, 0), undefined],
    [list(1, 41), undefined],
    [list(0, 40), 2],
    [list(0, 20), 1],
    [list(0, 21), 2],
  ];
  for (const [one, page] of rows) assert.equal(pageInstead(one), page, JSON.stringify(one));
});
