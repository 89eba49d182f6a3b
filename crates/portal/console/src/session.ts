// Who is signed in.
import { signal } from "@preact/signals";
import { call, csrf, Problem, signedOut } from "./api";
import type { Me } from "./types";

export const me = signal<Me | undefined>(undefined);
export const meProblem = signal<Problem | undefined>(undefined);

export async function loadMe(): Promise<void> {
  try {
    const answer = await call<Me>("GET", "/api/me");
    csrf.value = answer.csrf;
    signedOut.value = false;
    me.value = answer;
    meProblem.value = undefined;
  } catch (error) {
    meProblem.value = error instanceof Problem ? error : new Problem(0, "The answer cannot be read.");
  }
}

export async function signOut(): Promise<void> {
  const answer = await call<{ location?: string } | undefined>("POST", "/logout", { body: {} });
  location.assign(answer?.location ?? "/");
}

export function signInAddress(): string {
  return `/login?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;
}
