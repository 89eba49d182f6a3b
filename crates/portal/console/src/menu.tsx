// A button with a menu: a popover of the browser.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { layers } from "./resource";

interface MenuProps {
  label: string;
  face: ComponentChildren;
  class?: string;
  children: ComponentChildren;
}

export function Menu({ label, face, class: name, children }: MenuProps) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const popover = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let isCounted = false;
    const count = (isOpen: boolean) => {
      if (isOpen !== isCounted) layers.value += isOpen ? 1 : -1;
      isCounted = isOpen;
    };
    const toggled = (event: Event) => {
      const isOpen = (event as ToggleEvent).newState === "open";
      count(isOpen);
      if (isOpen) place(button.current, popover.current);
      button.current?.setAttribute("aria-expanded", String(isOpen));
    };
    const element = popover.current;
    element?.addEventListener("beforetoggle", toggled);
    return () => {
      element?.removeEventListener("beforetoggle", toggled);
      count(false);
    };
  }, []);
  const hide = (event: Event) => {
    if ((event.target as Element).closest("button, a")) popover.current?.hidePopover();
  };
  return (
    <span class="menu">
      <button
        ref={button}
        type="button"
        class={name ?? "quiet square"}
        aria-label={label}
        aria-expanded="false"
        data-act="menu"
        {...{ popovertarget: id }}
      >
        {face}
      </button>
      <div ref={popover} id={id} class="menu-list" popover="auto" onClick={hide}>
        {children}
      </div>
    </span>
  );
}

/** Puts the list under its button, within the window. */
function place(button: HTMLElement | null, list: HTMLElement | null): void {
  if (!button || !list) return;
  const { bottom, right } = button.getBoundingClientRect();
  list.style.top = `${bottom}px`;
  list.style.right = `${Math.max(0, document.documentElement.clientWidth - right)}px`;
}
