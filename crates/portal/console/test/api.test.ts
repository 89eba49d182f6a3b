// What a request does with a refusal, which another tab may have caused.
import assert from "node:assert/strict";
import test from "node:test";

/** The modules of a page listen to its window, and to other tabs. */
class Silent {
  addEventListener() {}
}
Object.assign(globalThis, { addEventListener: () => undefined, BroadcastChannel: Silent });
const { call, Problem, signedOut } = await import("../src/api");

/** Answers one after another, and what was sent for them. */
function answers(...statuses: number[]): RequestInit[] {
  const sent: RequestInit[] = [];
  globalThis.fetch = (_, request) => {
    sent.push(request ?? {});
    const status = statuses[sent.length - 1] ?? 500;
    return Promise.resolve(new Response(JSON.stringify({ detail: `answer ${sent.length}` }), { status }));
  };
  return sent;
}

test("a refusal that another tab has caused is asked once more, as it was", async () => {
  const sent = answers(401, 200);
  assert.deepEqual(await call("POST", "/x", { body: { a: 1 }, id: "7" }), { detail: "answer 2" });
  assert.equal(sent.length, 2);
  assert.deepEqual(sent[0], sent[1]);
  assert.equal(signedOut.value, false);
});

test("nobody is signed in after two refusals, and there is no third question", async () => {
  const sent = answers(401, 401, 200);
  await assert.rejects(call("GET", "/x"), (error) => error instanceof Problem && error.status === 401);
  assert.equal(sent.length, 2);
  assert.equal(signedOut.value, true);
});

test("no other answer is asked for twice", async () => {
  for (const status of [200, 403, 409, 503]) {
    const sent = answers(status);
    await call("GET", "/x").catch(() => undefined);
    assert.equal(sent.length, 1, String(status));
  }
});

test("who gives up is not told that the portal is silent", async () => {
  const aborter = new AbortController();
  globalThis.fetch = () => {
    aborter.abort();
    return Promise.reject(aborter.signal.reason);
  };
  await assert.rejects(call("GET", "/x", { signal: aborter.signal }), (error) => !(error instanceof Problem));
});
