// Tabs as the ARIA Authoring Practices have them: one stop for Tab, arrows inside.
import type { ComponentChildren } from "preact";
import type { Signal } from "@preact/signals";

export interface Tab {
  name: string;
  body: ComponentChildren;
}

export function Tabs({ label, tabs, chosen }: { label: string; tabs: Tab[]; chosen: Signal<string> }) {
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = tabs.findIndex(({ name }) => name === chosen.value);
    const next = tabs[(index + step + tabs.length) % tabs.length];
    if (!next) return;
    chosen.value = next.name;
    document.getElementById(`tab-${next.name}`)?.focus();
  };
  return (
    <>
      <div class="bar" role="tablist" aria-label={label} onKeyDown={move}>
        {tabs.map(({ name }) => (
          <button
            key={name}
            id={`tab-${name}`}
            class="tab"
            type="button"
            role="tab"
            aria-selected={name === chosen.value}
            aria-controls={`panel-${name}`}
            tabIndex={name === chosen.value ? 0 : -1}
            onClick={() => (chosen.value = name)}
          >
            {name}
          </button>
        ))}
      </div>
      {tabs.map(({ name, body }) => (
        <div
          key={name}
          id={`panel-${name}`}
          class="panel"
          role="tabpanel"
          aria-labelledby={`tab-${name}`}
          hidden={name !== chosen.value}
        >
          {body}
        </div>
      ))}
    </>
  );
}
