// Keyboard shortcuts of the whole page, and the dialog that lists them.
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

export interface Shortcut {
  /** The key with its modifiers, as it is shown. */
  keys: string[];
  does: string;
  matches: (event: KeyboardEvent) => boolean;
  run: () => void;
}

const LISTED = [
  { keys: ["Ctrl", "Space"], does: "Complete what is being typed" },
  { keys: ["Ctrl", "/"], does: "Make lines a comment" },
  { keys: ["Ctrl", "F"], does: "Search in the text" },
];

export function useShortcuts(shortcuts: Shortcut[]): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const shortcut = shortcuts.find(({ matches }) => matches(event));
      if (!shortcut) return;
      event.preventDefault();
      event.stopPropagation();
      shortcut.run();
    };
    // Before the editors, which have keys of their own.
    document.addEventListener("keydown", press, { capture: true });
    return () => document.removeEventListener("keydown", press, { capture: true });
  }, []);
}

export function ShortcutList({ shortcuts }: { shortcuts: Shortcut[] }) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        class="quiet icon"
        type="button"
        aria-label="Keyboard shortcuts"
        title="Keyboard shortcuts"
        onClick={() => dialog.current?.showModal()}
      >
        <Icon name="keys" />
      </button>
      <dialog ref={dialog} aria-labelledby="shortcuts-title">
        <h2 id="shortcuts-title">Keyboard shortcuts</h2>
        <dl>
          {[...shortcuts, ...LISTED].map(({ keys, does }) => (
            <div key={does}>
              <dt>{does}</dt>
              <dd>
                {keys.map((one) => (
                  <kbd key={one}>{one}</kbd>
                ))}
              </dd>
            </div>
          ))}
        </dl>
        <p class="hint">On a Mac, Ctrl is ⌘. Tab leaves an editor; Escape closes a list of completions.</p>
        <form method="dialog">
          <button class="main">Close</button>
        </form>
      </dialog>
    </>
  );
}
