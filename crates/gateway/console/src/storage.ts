// Signals that outlive the page. A browser that keeps nothing is no reason to fail.
import { effect, signal, type Signal } from "@preact/signals";

/** A signal whose value is kept as JSON. */
export function stored<T>(store: () => Storage, key: string, initial: T): Signal<T> {
  const kept = signal(read(store, key) ?? initial);
  effect(() => write(store, key, kept.value));
  return kept;

  function read(store: () => Storage, key: string): T | undefined {
    try {
      const text = store().getItem(key);
      return text === null ? undefined : (JSON.parse(text) as T);
    } catch {
      return undefined;
    }
  }
}

export function write(store: () => Storage, key: string, value: unknown): void {
  try {
    store().setItem(key, JSON.stringify(value));
  } catch {
    // Storage is full or switched off: the value lives as long as the page.
  }
}

export const forTheTab = () => sessionStorage;
export const forLong = () => localStorage;

/** Where the token for a cluster is kept. Each cluster has its own, so that none is sent to another. */
export const tokenKey = (cluster: string) => `portolan:token:${cluster}`;
