// Focus in a list that changes by itself: if the row with the focus goes, the next one gets it.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

interface Place {
  uid: string;
  act: string | undefined;
  after: string[];
  before: string[];
}

export function useKeptFocus(body: RefObject<HTMLElement | null>, data: unknown): void {
  const place = useRef<Place | undefined>(undefined);
  useEffect(() => {
    const note = (event: FocusEvent) => (place.current = placeOf(body.current, event.target as HTMLElement));
    const element = body.current;
    element?.addEventListener("focusin", note);
    return () => element?.removeEventListener("focusin", note);
  }, []);
  useLayoutEffect(() => {
    const last = place.current;
    if (!last || (document.activeElement && document.activeElement !== document.body)) return;
    for (const uid of [last.uid, ...last.after, ...last.before.toReversed()]) {
      const row = body.current?.querySelector<HTMLElement>(`[data-uid="${CSS.escape(uid)}"]`);
      const same = row?.querySelector<HTMLElement>(`[data-act="${last.act}"]`) ?? row?.querySelector<HTMLElement>("a, button");
      if (!same) continue;
      same.focus();
      return;
    }
    const heading = document.querySelector<HTMLElement>("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus();
  }, [data]);
}

function placeOf(body: HTMLElement | null, target: HTMLElement): Place | undefined {
  const row = target.closest<HTMLElement>("[data-uid]");
  const uid = row?.dataset["uid"];
  if (!body || !uid) return undefined;
  const uids = [...body.querySelectorAll<HTMLElement>("[data-uid]")].map((one) => one.dataset["uid"] ?? "");
  const index = uids.indexOf(uid);
  return { uid, act: target.dataset["act"], after: uids.slice(index + 1), before: uids.slice(0, index) };
}
