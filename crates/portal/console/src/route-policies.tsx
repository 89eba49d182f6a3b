// The policies that come with a route, before there is a product that could tell of them.
import { BASE } from "./api";
import { Chip, ConditionChip } from "./chips";
import { tierText } from "./limits";
import { condition } from "./phases";
import { useResource } from "./resource";
import { me } from "./session";
import type { ChosenPolicy, PlanPolicy, Policy, Route } from "./types";

export function RoutePolicies({ route }: { route: Route }) {
  const plans = usePolicies<PlanPolicy>("planpolicies", me.value?.can.listPlanPolicies);
  const auths = usePolicies<Policy>("authpolicies", me.value?.can.listAuthPolicies);
  const { planPolicy, authPolicy } = route;
  const plan = policyOf(plans, planPolicy);
  return (
    <section class="stack tight" aria-label="HTTPRoute policies">
      <h3>HTTPRoute policies</h3>
      <PolicyLine title="Plan Policy" chosen={planPolicy} policy={plan}>
        {plan
          ? plan.spec.plans.map((one) => <Chip key={one.tier}>{tierText(one)}</Chip>)
          : planPolicy?.tiers?.map((tier) => <Chip key={tier}>{tier}</Chip>)}
      </PolicyLine>
      <PolicyLine title="Auth Policy" chosen={authPolicy} policy={policyOf(auths, authPolicy)} />
    </section>
  );
}

function usePolicies<T extends Policy>(plural: string, may: boolean | undefined): T[] {
  const { data } = useResource<{ items: T[] }>(may ? `${BASE}/${plural}` : null, { kinds: ["policies"] });
  return data?.items ?? [];
}

/** The policy that the server has chosen, as it is listed. */
function policyOf<T extends Policy>(all: T[], chosen: ChosenPolicy | undefined): T | undefined {
  return all.find(({ metadata }) => metadata.namespace === chosen?.namespace && metadata.name === chosen.name);
}

interface LineProps {
  title: string;
  chosen: ChosenPolicy | undefined;
  policy: Policy | undefined;
  children?: preact.ComponentChildren;
}

function PolicyLine({ title, chosen, policy, children }: LineProps) {
  const state = policy && (condition(policy, "Enforced") ?? condition(policy, "Accepted"));
  return (
    <div>
      <p class="row">
        <span class="strong">{title}</span>
        <span class="grow wrap">{chosen ? `${chosen.namespace}/${chosen.name}` : ""}</span>
        {!chosen && <ConditionChip of={undefined} />}
        {state && <ConditionChip of={state} />}
      </p>
      {children && <p class="chips">{children}</p>}
    </div>
  );
}
