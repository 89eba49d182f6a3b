// The parts of a request that is to be tried.

interface Parameter {
  name: string;
  in: string;
}

/** The path with its parameters filled in, and the query. What the path has of a query goes in front. */
export function filledPath(path: string, values: Record<string, string>, parameters: Parameter[]): { path: string; query?: string } {
  const [bare = "", typed = ""] = path.split(/\?(.*)/s);
  const filled = parameters
    .filter((one) => one.in === "path")
    .reduce((text, { name }) => text.replaceAll(`{${name}}`, encodeURIComponent(values[name] ?? "")), bare);
  const pairs = parameters
    .filter((one) => one.in === "query" && values[one.name])
    .map(({ name }) => `${encodeURIComponent(name)}=${encodeURIComponent(values[name] ?? "")}`);
  const query = [typed, ...pairs].filter(Boolean).join("&");
  return query ? { path: filled, query } : { path: filled };
}

/** Headers, one per line; a line without a colon counts as a header without a value. */
export function parsedHeaders(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.trim());
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf(":");
      return at < 0 ? [line.trim(), ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }),
  );
}

/** JSON with its structure shown; any other text as it is. */
export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

export function isWildcard(name: string): boolean {
  return name.startsWith("*.");
}

/** The host that is tried unless another is chosen: the first name that is one host. */
export function firstHost(names: string[]): string {
  return names.find((name) => !isWildcard(name)) ?? names[0] ?? "";
}

/** Why a host is not one that the name of a route stands for. */
export function hostProblem(host: string, name: string): string | undefined {
  if (!isWildcard(name)) return undefined;
  const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
  const isHost = new RegExp(`^${label}(\\.${label})*$`).test(host);
  return isHost && host.endsWith(name.slice(1)) ? undefined : `Must be a host name that ends with ${name.slice(1)}`;
}
