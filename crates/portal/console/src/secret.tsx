// A key that is hidden until somebody wants to see it, fetched anew each time, and gone once it is hidden.
import { useEffect, useRef, useState } from "preact/hooks";
import { announce } from "./announce";
import { at, call } from "./api";
import { CopyButton } from "./copy";
import { Icon } from "./icons";
import { failed } from "./toasts";
import type { Key } from "./types";

const HIDDEN = "••••••••••••";

export interface Revealing {
  value: string | undefined;
  isLoading: boolean;
  toggle: () => void;
}

export function useSecret(key: Key): Revealing {
  const [value, setValue] = useState<string>();
  const [isLoading, setLoading] = useState(false);
  const aborter = useRef<AbortController | undefined>(undefined);
  const hide = () => {
    aborter.current?.abort();
    setValue(undefined);
    setLoading(false);
  };
  // A new value, a revocation: what was shown does not hold any more. Nor does it stay in a page that is kept for Back.
  useEffect(() => hide, [key.metadata.uid, key.metadata.resourceVersion]);
  useEffect(() => {
    addEventListener("pagehide", hide);
    return () => removeEventListener("pagehide", hide);
  }, []);
  const toggle = async () => {
    if (value !== undefined || isLoading) {
      hide();
      return;
    }
    const mine = new AbortController();
    aborter.current = mine;
    setLoading(true);
    try {
      const { namespace, name } = key.metadata;
      const { apiKey } = await call<{ apiKey: string }>("GET", at("requests", namespace, name, "secret"), { signal: mine.signal });
      if (mine.signal.aborted) return;
      setValue(apiKey);
      announce("API key is shown");
    } catch (error) {
      if (!mine.signal.aborted) failed("The key cannot be shown", error);
    }
    setLoading(false);
  };
  return { value, isLoading, toggle: () => void toggle() };
}

export function SecretField({ of, secret }: { of: Key; secret: Revealing }) {
  const { value, isLoading, toggle } = secret;
  if (!of.status?.secretRef) return <span class="soft">Awaiting secret…</span>;
  const isShown = value !== undefined;
  return (
    <span class="secret">
      <code class={isShown ? "wrap" : ""}>{isLoading ? "Loading…" : (value ?? HIDDEN)}</code>
      <button
        class="quiet square"
        type="button"
        aria-label={isShown ? "Hide API key" : "Reveal API key"}
        title={isShown ? "Hide API key" : "Reveal API key"}
        onClick={toggle}
      >
        <Icon name={isShown ? "eyeOff" : "eye"} />
      </button>
      {isShown && <CopyButton text={value} label="Copy API key" />}
    </span>
  );
}
