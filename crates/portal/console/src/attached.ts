// Which policy is that of a route.
import type { Policy, Route } from "./types";

/** The policy of a route by its name: that of the route itself, else the only one of that name on a Gateway. */
export function policyOf<T extends Policy>(all: T[], { metadata }: Route, name: string | undefined): T | undefined {
  const named = all.filter((one) => one.metadata.name === name);
  const isOwn = ({ spec: { targetRef }, metadata: { namespace } }: T) =>
    targetRef.kind === "HTTPRoute" && targetRef.name === metadata.name && namespace === metadata.namespace;
  const above = named.filter((one) => one.spec.targetRef.kind === "Gateway");
  return named.find(isOwn) ?? (above.length === 1 ? above[0] : undefined);
}
