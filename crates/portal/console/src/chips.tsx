// Small labels.
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icons";
import { authOf, daysLeft, endOf, phaseOf } from "./phases";
import type { Condition, Key, Phase, Product } from "./types";
import { dateText, timeText } from "./when";

export type Tone = "plain" | "accent" | "good" | "warn" | "bad";

interface ChipProps {
  tone?: Tone;
  icon?: IconName;
  children: ComponentChildren;
  title?: string | undefined;
}

export function Chip({ tone = "plain", icon, children, title }: ChipProps) {
  return (
    <span class={`chip ${tone}`} title={title}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}

const PHASES: Record<Phase, [Tone, IconName]> = {
  Pending: ["warn", "clock"],
  Approved: ["good", "check"],
  Rejected: ["bad", "cross"],
  Expired: ["plain", "clock"],
};

export function PhaseChip({ of, now }: { of: Key; now: number }) {
  const phase = phaseOf(of, now);
  const [tone, icon] = PHASES[phase];
  return (
    <Chip tone={tone} icon={icon}>
      {phase}
    </Chip>
  );
}

export function PublishChip({ product }: { product: Product }) {
  const isPublished = product.spec.publishStatus === "Published";
  return <Chip tone={isPublished ? "good" : "plain"}>{isPublished ? "Published" : "Draft"}</Chip>;
}

const LIFECYCLES: Record<string, Tone> = { experimental: "accent", deprecated: "warn", retired: "bad" };

export function lifecycleOf(product: Product): string {
  return product.metadata.labels?.["lifecycle"] ?? "production";
}

export function LifecycleChip({ product }: { product: Product }) {
  const lifecycle = lifecycleOf(product);
  return <Chip tone={LIFECYCLES[lifecycle] ?? "plain"}>{lifecycle}</Chip>;
}

export function AuthChips({ product }: { product: Product }) {
  const { apiKey, oidc } = authOf(product);
  return (
    <>
      {apiKey && <Chip icon="key">API key</Chip>}
      {oidc && <Chip icon="lock">OIDC</Chip>}
      {!apiKey && !oidc && <span class="soft">Authentication unknown</span>}
    </>
  );
}

export function ConditionChip({ of }: { of: Condition | undefined }) {
  const isTrue = of?.status === "True";
  return (
    <Chip tone={isTrue ? "good" : "warn"} title={of?.message}>
      {of?.reason ?? "NotFound"}
    </Chip>
  );
}

/** When a key ends, and how soon that is. */
export function Ends({ of, now }: { of: Key; now: number }) {
  const end = endOf(of);
  if (!end) return <span class="soft">No expiration</span>;
  const days = daysLeft(end, now);
  if (days <= 0) return <Chip title={timeText(end)}>Expired</Chip>;
  const left = `${days}d`;
  return (
    <span title={timeText(end)}>
      {dateText(end)} {days <= 7 ? <Chip tone="warn">{left}</Chip> : <span class="soft">({left})</span>}
    </span>
  );
}
