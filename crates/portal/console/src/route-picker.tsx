// The choice of an HTTPRoute, and the policies that come with it.
import { useId, useState } from "preact/hooks";
import { BASE } from "./api";
import { Chip } from "./chips";
import { Search } from "./fields";
import { useResource } from "./resource";
import { RoutePolicies } from "./route-policies";
import { Failure, Skeleton } from "./states";
import { idOf, type Route } from "./types";

interface PickerProps {
  chosen: string;
  onChoose: (namespace: string, name: string) => void;
}

export function RoutePicker({ chosen, onChoose }: PickerProps) {
  const [text, setText] = useState("");
  const name = useId();
  const { data, problem, reload } = useResource<{ items: Route[] }>(`${BASE}/httproutes?pageSize=500`, { kinds: ["routes", "policies"] });
  const routes = (data?.items ?? []).filter((route) => matches(route, text));
  const picked = data?.items.find((route) => idOf(route) === chosen);
  const namespaces = [...new Set(routes.map((route) => route.metadata.namespace))].sort();
  return (
    <fieldset class="radios">
      <legend>
        HTTPRoute <span aria-hidden="true">*</span>
      </legend>
      <p class="hint">Select an HTTPRoute. The API product will be created in the same namespace.</p>
      <Search label="Search by name, namespace or PlanPolicy" text={text} onChange={setText} />
      {problem && <Failure problem={problem} onRetry={reload} />}
      {!data && !problem && <Skeleton lines={3} kind="table" />}
      <div class="options">
        {namespaces.map((namespace) => (
          <div key={namespace} role="group" aria-label={`Namespace ${namespace}`}>
            <p class="eyebrow">{namespace}</p>
            {routes
              .filter((route) => route.metadata.namespace === namespace)
              .map((route) => (
                <Option key={idOf(route)} {...{ route, name, onChoose }} isChosen={idOf(route) === chosen} />
              ))}
          </div>
        ))}
        {data && routes.length === 0 && <p class="soft">No HTTPRoute {text ? "matches" : "exists that you may see"}.</p>}
      </div>
      {picked && <RoutePolicies route={picked} />}
    </fieldset>
  );
}

function matches({ metadata, planPolicy }: Route, text: string): boolean {
  const whole = `${metadata.name} ${metadata.namespace} ${planPolicy?.name ?? ""}`.toLowerCase();
  return whole.includes(text.trim().toLowerCase());
}

interface OptionProps {
  route: Route;
  name: string;
  isChosen: boolean;
  onChoose: PickerProps["onChoose"];
}

function Option({ route, name, isChosen, onChoose }: OptionProps) {
  const { metadata, spec, planPolicy, authPolicy, ready } = route;
  return (
    <label class="radio option">
      <input type="radio" name={name} checked={isChosen} onChange={() => onChoose(metadata.namespace, metadata.name)} />
      <span class="grow">
        <span class="strong">{metadata.name}</span>
        <span class="soft small block wrap">{spec?.hostnames?.join(", ") || "no hostname"}</span>
        <span class="small block">
          Associated PlanPolicy:{" "}
          {planPolicy ? `${planPolicy.name}${planPolicy.tiers?.length ? ` (${planPolicy.tiers.join(", ")})` : ""}` : "N/A"}
        </span>
        <span class="chips">
          <Chip tone={ready ? "good" : "warn"}>{ready ? "Accepted" : "Not accepted"}</Chip>
          {authPolicy ? <Chip icon="lock">{authPolicy.name}</Chip> : <Chip tone="warn">No AuthPolicy</Chip>}
        </span>
      </span>
    </label>
  );
}
