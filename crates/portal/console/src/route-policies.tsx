// The policies that come with a route, before there is a product that could tell of them.
import { BASE } from "./api";
import { policyOf } from "./attached";
import { Chip, ConditionChip } from "./chips";
import { tierText } from "./limits";
import { condition } from "./phases";
import { useResource } from "./resource";
import { me } from "./session";
import type { PlanPolicy, Policy, Route } from "./types";

export function RoutePolicies({ route }: { route: Route }) {
  const plans = usePolicies<PlanPolicy>("planpolicies", me.value?.can.listPlanPolicies);
  const auths = usePolicies<Policy>("authpolicies", me.value?.can.listAuthPolicies);
  const plan = policyOf(plans, route, route.planPolicy?.name);
  return (
    <section class="stack tight" aria-label="HTTPRoute policies">
      <h3>HTTPRoute policies</h3>
      <PolicyLine title="Plan Policy" name={route.planPolicy?.name} policy={plan}>
        {plan
          ? plan.spec.plans.map((one) => <Chip key={one.tier}>{tierText(one)}</Chip>)
          : route.planPolicy?.tiers?.map((tier) => <Chip key={tier}>{tier}</Chip>)}
      </PolicyLine>
      <PolicyLine title="Auth Policy" name={route.authPolicy?.name} policy={policyOf(auths, route, route.authPolicy?.name)} />
    </section>
  );
}

function usePolicies<T extends Policy>(plural: string, may: boolean | undefined): T[] {
  const { data } = useResource<{ items: T[] }>(may ? `${BASE}/${plural}` : null, { kinds: ["policies"] });
  return data?.items ?? [];
}

interface LineProps {
  title: string;
  name: string | undefined;
  policy: Policy | undefined;
  children?: preact.ComponentChildren;
}

function PolicyLine({ title, name, policy, children }: LineProps) {
  const state = policy && (condition(policy, "Enforced") ?? condition(policy, "Accepted"));
  return (
    <div>
      <p class="row">
        <span class="strong">{title}</span>
        <span class="grow wrap">{policy ? `${policy.metadata.namespace}/${policy.metadata.name}` : (name ?? "")}</span>
        {!name && <ConditionChip of={undefined} />}
        {state && <ConditionChip of={state} />}
      </p>
      {children && <p class="chips">{children}</p>}
    </div>
  );
}
