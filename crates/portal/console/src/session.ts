// Who is signed in.
import { signal } from "@preact/signals";
import { call, csrf, Problem, signedOut } from "./api";
import type { Me } from "./types";

export const me = signal<Me | undefined>(undefined);
export const meProblem = signal<Problem | undefined>(undefined);

/** When the session ends if nobody uses it, by the clock of this browser. */
export const end = signal<number | undefined>(undefined);

/** Asks who is signed in; `isUse` keeps the session from ending. */
export async function loadMe(isUse = false): Promise<void> {
  try {
    const answer = await call<Me>("GET", "/api/me", { isUse });
    end.value = answer.expiresIn === undefined ? undefined : Date.now() + answer.expiresIn * 1000;
    csrf.value = answer.csrf;
    signedOut.value = false;
    me.value = answer;
    meProblem.value = undefined;
  } catch (error) {
    meProblem.value = error instanceof Problem ? error : new Problem(0, "The answer cannot be read.");
  }
}

/** Leaves nothing on the page of what somebody has seen who is not signed in any more. */
export function signOutHere(): void {
  signedOut.value = true;
  csrf.value = undefined;
  end.value = undefined;
  me.value = undefined;
}

export async function signOut(): Promise<void> {
  const answer = await call<{ location?: string } | undefined>("POST", "/logout", { body: {} });
  location.assign(answer?.location ?? "/");
}

/** Where a tab ends up that was opened to sign in again. */
export const SIGNED_IN = "/signed-in";
const channel = new BroadcastChannel("portolan-session");

/** Opens the way back in beside this page, so that what was typed into it stays. The issuer asks nothing it need not. */
export function signInAgainAddress(): string {
  return `/login?prompt=none&next=${encodeURIComponent(SIGNED_IN)}`;
}

/** Tells the other tabs that somebody has signed in. */
export function tellSignedIn(): void {
  channel.postMessage("signed-in");
}

/** Goes on with a new session of the same person; of somebody else, this page has nothing to show. */
export function watchSignIn(): void {
  channel.addEventListener("message", () => {
    const before = me.value?.user;
    void loadMe().then(() => {
      if (before !== undefined && me.value?.user !== before) location.reload();
    });
  });
}

export function signInAddress(): string {
  return `/login?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`;
}
