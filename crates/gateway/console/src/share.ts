// Links to a query: its text is in the fragment, which browsers do not send. Headers and tokens are never in it.

export interface Shared {
  query: string;
  variables: string;
}

const MARK = "#q=";

export function link(shared: Shared): string {
  const bytes = new TextEncoder().encode(JSON.stringify([shared.query, shared.variables]));
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const encoded = btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `${location.origin}${location.pathname}${MARK}${encoded}`;
}

export function fromFragment(fragment: string): Shared | undefined {
  if (!fragment.startsWith(MARK)) return undefined;
  try {
    const text = atob(fragment.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const [query, variables] = JSON.parse(new TextDecoder().decode(bytes)) as unknown[];
    return typeof query === "string" && typeof variables === "string" ? { query, variables } : undefined;
  } catch {
    return undefined;
  }
}
