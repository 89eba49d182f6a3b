// How limits of plans read.
import type { Limits } from "./types";

const PERIODS = [
  ["daily", "day"],
  ["weekly", "week"],
  ["monthly", "month"],
  ["yearly", "year"],
] as const;

/** One line for each limit; none if there is no limit. */
export function limitLines(limits: Limits | undefined): string[] {
  const lines = PERIODS.flatMap(([field, period]) => {
    const limit = limits?.[field];
    return limit === undefined ? [] : [`${limit.toLocaleString("en")} per ${period}`];
  });
  const custom = (limits?.custom ?? []).map(({ limit, window }) => `${limit.toLocaleString("en")} per ${window}`);
  return [...lines, ...custom];
}

export function limitText(limits: Limits | undefined): string {
  return limitLines(limits).join(", ") || "No limit";
}

export function tierText(plan: { tier: string; limits?: Limits }): string {
  const lines = limitLines(plan.limits);
  return lines.length ? `${plan.tier} (${lines.join(", ")})` : plan.tier;
}
