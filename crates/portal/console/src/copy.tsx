// Text to be copied.
import { useState } from "preact/hooks";
import { announce } from "./announce";
import { Icon } from "./icons";

const TOLD = 1600;

export function CopyButton({ text, label }: { text: string | (() => string); label: string }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "string" ? text : text());
      announce("Copied");
      setDone(true);
      setTimeout(() => setDone(false), TOLD);
    } catch {
      announce("The browser does not allow copying here: select the text instead", true);
    }
  };
  return (
    <button class="quiet square" type="button" aria-label={label} title={label} onClick={copy}>
      <Icon name={isDone ? "check" : "copy"} />
    </button>
  );
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} role="region" aria-label={label}>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} label={`Copy ${label}`} />
    </div>
  );
}

/** The line that does the same from a terminal. */
export function Kubectl({ text }: { text: string }) {
  return (
    <details class="kubectl">
      <summary>
        <Icon name="terminal" /> The same with kubectl
      </summary>
      <Code text={text} label="kubectl command" />
    </details>
  );
}
