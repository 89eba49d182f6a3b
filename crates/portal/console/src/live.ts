// One stream of events per browser: the tab that holds the lock reads it, and hands on to the others what it reads.
import { call, saw, signedOut } from "./api";

export type Kind = "products" | "keys" | "policies" | "routes";

export interface Change {
  /** Absent if anything may have changed. */
  kind?: Kind;
  namespace?: string;
  name?: string;
  version?: string;
}

const PLURALS: Partial<Record<Kind, string>> = { products: "apiproducts", keys: "apikeys" };

const LONGEST_PAUSE = 30_000;
const LAST_STATE = "portolan-live";

const channel = new BroadcastChannel(LAST_STATE);
const listeners = new Set<(change: Change) => void>();

/** Calls back on each change until the returned function is called. */
export function onChange(listener: (change: Change) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function spread(change: Change): void {
  channel.postMessage(change);
  tell(change);
}

function tell(change: Change): void {
  const plural = change.kind && PLURALS[change.kind];
  if (plural && change.version) saw(plural, change.version);
  for (const listener of listeners) listener(change);
}

export function startLive(): void {
  channel.addEventListener("message", ({ data }) => tell(data as Change));
  void navigator.locks.request(LAST_STATE, () => lead());
}

/** Reads the stream for as long as this tab lives. */
async function lead(): Promise<never> {
  for (let failures = 0; ; ) {
    const wasOpen = await read();
    failures = wasOpen ? 1 : failures + 1;
    if (!(await isSignedIn())) await focused();
    await pause(Math.min(LONGEST_PAUSE, 1000 * 2 ** (failures - 1)) * (0.5 + Math.random() / 2));
  }
}

/** Reads until the browser gives up; says whether there was a stream at all. */
function read(): Promise<boolean> {
  return new Promise((resolve) => {
    const source = new EventSource("/api/events");
    let wasOpen = false;
    // What happened in a gap is unknown, so everything that is shown is read anew.
    source.addEventListener("open", () => {
      wasOpen = true;
      spread({});
    });
    source.addEventListener("resync", () => spread({}));
    source.addEventListener("changed", ({ data }) => {
      try {
        spread(JSON.parse(data) as Change);
      } catch {
        spread({});
      }
    });
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED && wasOpen) return;
      source.close();
      resolve(wasOpen);
    });
  });
}

/** A refused stream does not tell its status; this question does. */
async function isSignedIn(): Promise<boolean> {
  await call("GET", "/api/me", { isBackground: true }).catch(() => undefined);
  return !signedOut.value;
}

function focused(): Promise<void> {
  return new Promise((resolve) => addEventListener("focus", () => resolve(), { once: true }));
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
