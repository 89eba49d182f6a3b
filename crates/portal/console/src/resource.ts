// Something that is read from the server, shown, and read anew when it changes.
import { effect, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { call, Problem } from "./api";
import { onChange, type Change, type Kind } from "./live";

export interface Resource<T> {
  data: T | undefined;
  problem: Problem | undefined;
  /** Whether what is shown belongs to an earlier question. */
  isStale: boolean;
  reload: () => void;
}

/** Layers (dialogs, menus) that are open. Nothing under them moves: changes are shown once they are closed. */
export const layers = signal(0);

const CALM = 120;

interface Wish {
  kinds: Kind[];
  /** Follow changes under open layers, too. */
  isUrgent?: boolean;
  /** The one object that it is about. */
  only?: { namespace: string; name: string };
}

/** Reads a path; null reads nothing. Later answers win over earlier ones, whatever their order of arrival. */
export function useResource<T>(path: string | null, wish: Wish): Resource<T> {
  const [state, setState] = useState<{ path?: string; data?: T; problem?: Problem }>({});
  const [round, setRound] = useState({ count: 0, isBackground: false });

  useEffect(() => {
    if (path === null) return undefined;
    const aborter = new AbortController();
    call<T>("GET", path, { signal: aborter.signal, isBackground: round.isBackground })
      .then((data) => setState({ path, data }))
      .catch((error: unknown) => {
        if (aborter.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "The answer cannot be read.");
        setState((before) => (before.data && problem.status !== 404 ? { ...before, path, problem } : { path, problem }));
      });
    return () => aborter.abort();
  }, [path, round]);

  useEffect(() => {
    const again = () => setRound(({ count }) => ({ count: count + 1, isBackground: true }));
    return follow(wish, again);
  }, [wish.kinds.join(), wish.only?.namespace, wish.only?.name, wish.isUrgent]);

  const isSame = state.path === path;
  return {
    data: state.data,
    problem: isSame ? state.problem : undefined,
    isStale: !isSame,
    reload: () => setRound(({ count }) => ({ count: count + 1, isBackground: false })),
  };
}

/** Calls back once after a burst of changes that matter. */
function follow(wish: Wish, again: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isWaiting = false;
  const plan = () => {
    isWaiting = false;
    clearTimeout(timer);
    timer = setTimeout(again, CALM);
  };
  const stop = onChange((change) => {
    if (!matters(change, wish)) return;
    if (layers.value > 0 && !wish.isUrgent) isWaiting = true;
    else plan();
  });
  const stopLayers = effect(() => {
    if (layers.value === 0 && isWaiting) plan();
  });
  return () => {
    clearTimeout(timer);
    stop();
    stopLayers();
  };
}

function matters(change: Change, { kinds, only }: Wish): boolean {
  if (!change.kind) return true;
  if (!kinds.includes(change.kind)) return false;
  if (!only || !change.name || change.kind === "policies" || change.kind === "routes") return true;
  return change.name === only.name && change.namespace === only.namespace;
}
