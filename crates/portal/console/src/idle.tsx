// The end of a session that nobody uses: a warning before it, and nothing left on the page after it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { isActive } from "./activity";
import { announce } from "./announce";
import { Dialog } from "./dialog";
import { end, loadMe, me, signInAddress, signOutHere } from "./session";

const TICK = 1000;
const MINUTE = 60_000;

/** Milliseconds that are left, once that is worth a warning. */
const left = signal<number | undefined>(undefined);
/** Whether the session ends however much it is used. */
const isFinal = signal(false);
let touched = Date.now();
let confirmed: number | undefined;
let isLooking = false;

export function watchIdle(): void {
  setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    void look().finally(() => (isLooking = false));
  }, TICK);
}

async function look(): Promise<void> {
  if (!me.value || !end.value) return;
  const idle = (me.value.idleSeconds ?? 0) * 1000;
  // Somebody who types without sending anything uses the session, too.
  if (isActive() && Date.now() - touched >= Math.min(MINUTE, idle / 10)) await use();
  const rest = () => (end.value ?? 0) - Date.now();
  const notice = Math.min(MINUTE, idle / 3);
  // Another tab may have moved the end.
  if (rest() <= notice && confirmed !== end.value) {
    await loadMe();
    confirmed = end.value;
  }
  if (rest() <= 0) {
    await loadMe();
    if (rest() <= 0) signOutHere();
  }
  left.value = me.value && rest() <= notice ? Math.max(0, rest()) : undefined;
  if (left.value === undefined) isFinal.value = false;
}

async function use(): Promise<void> {
  touched = Date.now();
  await loadMe(true);
}

export function IdleNotice() {
  const isShown = left.value !== undefined;
  useEffect(() => {
    if (isShown) announce("Your session is about to end", true);
  }, [isShown]);
  if (left.value === undefined) return null;
  const stay = async () => {
    const before = end.value ?? 0;
    await use();
    isFinal.value = (end.value ?? 0) <= before;
    if (!isFinal.value) left.value = undefined;
  };
  const seconds = Math.ceil(left.value / 1000);
  if (isFinal.value) {
    return (
      <Dialog title="Your session ends" onClose={() => undefined}>
        <p>{`It has reached its longest time, and ends in ${seconds} s. What you have not sent is lost then.`}</p>
        <p>
          <a class="button main" href={signInAddress()}>
            Sign in again
          </a>
        </p>
      </Dialog>
    );
  }
  return (
    <Dialog title="Are you still there?" action="Stay signed in" onSubmit={stay} onClose={() => void use()}>
      <p>{`Nobody has used this session for a while. It ends in ${seconds} s, and the page is emptied.`}</p>
    </Dialog>
  );
}
