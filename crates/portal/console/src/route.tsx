// Where the user is: the address, and links that change it without loading the page anew.
import { computed, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

const address = signal(location.pathname + location.search + location.hash);
const parsed = computed(() => new URL(address.value, location.origin));

export const path = computed(() => parsed.value.pathname.replace(/(.)\/+$/, "$1"));
export const hash = computed(() => parsed.value.hash.slice(1));
export const query = computed(() => parsed.value.searchParams);

addEventListener("popstate", () => (address.value = location.pathname + location.search + location.hash));

export function go(to: string): void {
  const before = path.value;
  history.pushState(null, "", to);
  address.value = to.startsWith("/") ? to : location.pathname + location.search + location.hash;
  if (path.value !== before) scrollTo(0, 0);
}

/** Changes parts of the query in place; an empty value removes its part. */
export function setQuery(changes: Record<string, string | string[]>): void {
  const next = new URL(parsed.value);
  for (const [name, value] of Object.entries(changes)) {
    next.searchParams.delete(name);
    for (const one of [value].flat()) if (one) next.searchParams.append(name, one);
  }
  history.replaceState(null, "", next);
  address.value = next.pathname + next.search + next.hash;
}

interface LinkProps {
  to: string;
  class?: string;
  current?: boolean;
  children: ComponentChildren;
}

export function Link({ to, class: name, current, children }: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} class={name} aria-current={current ? "page" : undefined} onClick={follow}>
      {children}
    </a>
  );
}

/** The page of a product or of a key. */
export function pageOf(kind: "products" | "keys", namespace: string, name: string): string {
  return `/${kind}/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}
