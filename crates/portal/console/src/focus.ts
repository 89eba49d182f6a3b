// Focus in a list that changes by itself: if the row with the focus goes, the next one gets it.
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

interface Place {
  uid: string;
  act: string | undefined;
  after: string[];
  before: string[];
}

/**
 * Keeps the focus in the rows (`data-uid`) of a list, on the button for the same (`data-act`). `list` is around the
 * rows, and stays when the last one goes: then the heading of the page gets the focus.
 */
export function useKeptFocus(list: RefObject<HTMLElement | null>, data: unknown): void {
  const place = useRef<Place | undefined>(undefined);
  useEffect(() => {
    const focused = ({ target }: FocusEvent) => {
      if (list.current?.contains(target as Node)) place.current = placeOf(list.current, target as HTMLElement);
    };
    // Who clicks beside the rows is not there any more.
    const pressed = ({ target }: PointerEvent) => {
      if (!(target as Element).closest("[data-uid], dialog")) place.current = undefined;
    };
    document.addEventListener("focusin", focused);
    document.addEventListener("pointerdown", pressed);
    return () => {
      document.removeEventListener("focusin", focused);
      document.removeEventListener("pointerdown", pressed);
    };
  }, []);
  useLayoutEffect(() => {
    const last = place.current;
    if (!last || (document.activeElement && document.activeElement !== document.body)) return;
    for (const uid of [last.uid, ...last.after, ...last.before.toReversed()]) {
      const row = list.current?.querySelector<HTMLElement>(`[data-uid="${CSS.escape(uid)}"]`);
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

function placeOf(list: HTMLElement, target: HTMLElement): Place | undefined {
  const row = target.closest<HTMLElement>("[data-uid]");
  const uid = row?.dataset["uid"];
  if (!uid) return undefined;
  const uids = [...list.querySelectorAll<HTMLElement>("[data-uid]")].map((one) => one.dataset["uid"] ?? "");
  const index = uids.indexOf(uid);
  const act = target.closest<HTMLElement>("[data-act]")?.dataset["act"];
  return { uid, act, after: uids.slice(index + 1), before: uids.slice(0, index) };
}
