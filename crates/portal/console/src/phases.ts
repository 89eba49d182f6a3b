// What state a key is in, and what becomes of it in time.
import type { Condition, Key, Phase, Product } from "./types";

const DAY = 86_400_000;

/** The phase; that of a key whose time is over is Expired, also before the controller has said so. */
export function phaseOf(key: Key, now: number): Phase {
  const phase = key.status?.phase ?? "Pending";
  const end = endOf(key);
  return phase === "Approved" && end !== undefined && Date.parse(end) <= now ? "Expired" : phase;
}

/** When the key stops working. */
export function endOf(key: Key): string | undefined {
  return key.status?.expiresAt ?? key.spec.expiresAt;
}

/** Whole days until then; what is left of a day counts as one. */
export function daysLeft(end: string, now: number): number {
  return Math.ceil((Date.parse(end) - now) / DAY);
}

export function condition(object: { status?: { conditions?: Condition[] } | null }, type: string): Condition | undefined {
  return object.status?.conditions?.find((one) => one.type === type);
}

/** Why nobody can ask for a key of this product, if that is so. */
export function whyNoRequest(product: Product, email: string | undefined): string | undefined {
  if (!email) return "Email address is required: your identity provider sends none. Ask your administrator for the scope “email”.";
  const ready = condition(product, "Ready");
  if (ready?.status === "False") return `HTTPRoute not ready: ${ready.message ?? ready.reason ?? "no reason given"}`;
  if (product.status?.discoveredPlans?.length) return undefined;
  const plans = condition(product, "PlanPolicyDiscovered");
  if (plans?.status === "False") return `No plans discovered: ${plans.message ?? plans.reason ?? "no reason given"}`;
  return "No plans available";
}

/** The ways in which the product lets people in. */
export function authOf(product: Product): { apiKey: boolean; oidc: boolean; issuer?: string } {
  const schemes = Object.values(product.status?.discoveredAuthScheme?.authentication ?? {});
  const jwt = schemes.find((scheme) => Object.hasOwn(scheme, "jwt"))?.jwt;
  const found = { apiKey: schemes.some((scheme) => Object.hasOwn(scheme, "apiKey")), oidc: jwt !== undefined };
  return jwt?.issuerUrl ? { ...found, issuer: jwt.issuerUrl } : found;
}
