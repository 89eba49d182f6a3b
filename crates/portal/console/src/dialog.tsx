// Dialogs: the browser's own, which trap the focus and give it back.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { announce } from "./announce";
import { cure, Problem } from "./api";
import { Icon } from "./icons";
import { Kubectl } from "./copy";
import { layers } from "./resource";
import { SignInAgain } from "./sign-in";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** What the main button says; without it, there is none. */
  action?: string;
  isDangerous?: boolean;
  isWide?: boolean;
  /** Why the action is not possible at present. */
  isDisabled?: boolean;
  kubectl?: string | undefined;
  /** Does it; throws if that fails, and the dialog stays open. */
  onSubmit?: () => Promise<void>;
}

/** What gets the focus first: a field, else the button that does nothing. */
const FIRST = ".dialog-body :is(input, select, textarea):not(:read-only, :disabled), .dialog-body select, .dialog-body input[type=radio], .dialog-foot button";

export function Dialog(props: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const label = useId();
  const { isBusy, problem, submit } = useSubmit(props);

  useEffect(() => {
    const opener = document.activeElement;
    layers.value += 1;
    dialog.current?.showModal();
    const first = dialog.current?.querySelector<HTMLElement>(FIRST);
    first?.focus();
    return () => {
      layers.value -= 1;
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);

  const isComposing = (event: KeyboardEvent) => event.isComposing || event.keyCode === 229;
  const guard = (event: KeyboardEvent) => {
    if (event.key === "Escape" && isComposing(event)) event.preventDefault();
  };
  return (
    <dialog
      ref={dialog}
      class={props.isWide ? "wide" : undefined}
      aria-labelledby={label}
      onKeyDown={guard}
      onClose={props.onClose}
    >
      <form method="dialog" onSubmit={submit} noValidate>
        <header class="dialog-head">
          <h2 id={label}>{props.title}</h2>
          <button class="quiet square" type="button" aria-label="Close" onClick={() => dialog.current?.close()}>
            <Icon name="cross" />
          </button>
        </header>
        <div class="dialog-body">
          {props.children}
          {props.kubectl && <Kubectl text={props.kubectl} />}
          {problem && (
            <p class="note bad">
              <Icon name="alert" />
              <span>
                {problem.message} <span class="soft">{cure(problem.status)}</span>
                {/* The page behind a dialog, with its own link, cannot be reached. */}
                {problem.status === 401 && <SignInAgain />}
              </span>
            </p>
          )}
        </div>
        <footer class="dialog-foot">
          <button class="plain" type="button" onClick={() => dialog.current?.close()}>
            {props.action ? "Cancel" : "Close"}
          </button>
          {props.action && (
            <button class={props.isDangerous ? "danger" : "main"} type="submit" disabled={props.isDisabled || isBusy}>
              {isBusy ? "Working…" : props.action}
            </button>
          )}
        </footer>
      </form>
    </dialog>
  );
}

/** Sends once, however often it is pressed. */
function useSubmit({ isDisabled, onSubmit }: DialogProps) {
  const running = useRef(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const submit = async (event: Event) => {
    event.preventDefault();
    if (running.current || isDisabled || !onSubmit) return;
    running.current = true;
    setBusy(true);
    setProblem(undefined);
    try {
      await onSubmit();
    } catch (error) {
      const found = error instanceof Problem ? error : new Problem(0, String(error));
      setProblem(found);
      announce(`${found.message} ${cure(found.status)}`, true);
    }
    running.current = false;
    setBusy(false);
  };
  return { isBusy, problem, submit };
}
