// Short messages about what was done. They lie above dialogs; those about failures stay until they are closed.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { announce } from "./announce";
import { cure, Problem } from "./api";
import { Icon } from "./icons";

interface Toast {
  id: number;
  kind: "good" | "bad";
  text: string;
  hint?: string;
}

const GOOD_STAYS = 6000;

const toasts = signal<Toast[]>([]);
let lastId = 0;

function show(kind: Toast["kind"], text: string, hint?: string): number {
  lastId += 1;
  const toast: Toast = { id: lastId, kind, text, ...(hint ? { hint } : {}) };
  toasts.value = [...toasts.value.slice(-3), toast];
  announce(hint ? `${text} ${hint}` : text, kind === "bad");
  return toast.id;
}

function close(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function succeeded(text: string): void {
  const id = show("good", text);
  setTimeout(() => close(id), GOOD_STAYS);
}

export function failed(what: string, error: unknown): void {
  const problem = error instanceof Problem ? error : new Problem(0, String(error));
  show("bad", `${what}: ${problem.message}`, cure(problem.status));
}

export function Toasts() {
  const region = useRef<HTMLDivElement>(null);
  const shown = toasts.value;
  // Opened anew for each message, it is above whatever has been opened since.
  useEffect(() => {
    const popover = region.current;
    if (popover?.matches(":popover-open")) popover.hidePopover();
    if (shown.length) popover?.showPopover();
  }, [shown]);
  return (
    <div ref={region} class="toasts" popover="manual" role="group" aria-label="Messages">
      {shown.map((toast) => (
        <div key={toast.id} class={`toast ${toast.kind}`}>
          <Icon name={toast.kind === "good" ? "check" : "alert"} />
          <p>
            {toast.text} {toast.hint && <span class="soft">{toast.hint}</span>}
          </p>
          <button class="quiet square" type="button" aria-label="Dismiss" onClick={() => close(toast.id)}>
            <Icon name="cross" />
          </button>
        </div>
      ))}
    </div>
  );
}
