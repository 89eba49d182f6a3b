// The choice of an API that gives out keys.
import { useEffect, useId, useState } from "preact/hooks";
import { BASE } from "./api";
import { Search } from "./fields";
import { whyNoRequest } from "./phases";
import { useResource } from "./resource";
import { me } from "./session";
import { Failure, Skeleton } from "./states";
import { idOf, uidOf, type List, type Product } from "./types";

const SHOWN = 20;
const TYPING = 200;

interface PickerProps {
  picked: Product | undefined;
  onPick: (product: Product) => void;
}

/** The server searches: there may be more APIs than a dialog has room for. */
export function ApiPicker({ picked, onPick }: PickerProps) {
  const [text, setText] = useState("");
  const name = useId();
  const asked = new URLSearchParams({ catalog: "true", authentication: "api-key", pageSize: String(SHOWN), search: useCalm(text) });
  const { data, problem, reload } = useResource<List<Product>>(`${BASE}/apiproducts?${asked}`, { kinds: ["products", "policies"] });
  const products = data?.items ?? [];
  const more = (data?.total ?? 0) - products.length;
  return (
    <fieldset class="radios">
      <legend>
        API <span aria-hidden="true">*</span>
      </legend>
      <Search label="Search APIs" text={text} onChange={setText} />
      {problem && <Failure problem={problem} onRetry={reload} />}
      {!data && !problem && <Skeleton lines={3} kind="table" />}
      <div class="options">
        <div>
          {products.map((product) => (
            <Option key={uidOf(product)} {...{ product, name, onPick }} isPicked={picked !== undefined && idOf(picked) === idOf(product)} />
          ))}
        </div>
        {data && products.length === 0 && <p class="soft">No API with keys {text ? "matches" : "is published"}.</p>}
        {more > 0 && <p class="soft small">{`${more} more: search to find them.`}</p>}
      </div>
    </fieldset>
  );
}

/** The text once nobody has typed for a moment. */
function useCalm(text: string): string {
  const [calm, setCalm] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setCalm(text.trim()), TYPING);
    return () => clearTimeout(timer);
  }, [text]);
  return calm;
}

interface OptionProps {
  product: Product;
  name: string;
  isPicked: boolean;
  onPick: PickerProps["onPick"];
}

function Option({ product, name, isPicked, onPick }: OptionProps) {
  const why = whyNoRequest(product, me.value?.email);
  const plans = product.status?.discoveredPlans ?? [];
  return (
    <label class="radio option">
      <input type="radio" name={name} checked={isPicked} disabled={why !== undefined} onChange={() => onPick(product)} />
      <span class="grow">
        <span class="strong">{product.spec.displayName}</span>
        <span class="soft small block wrap">{idOf(product)}</span>
        <span class="small block">{why ?? plans.map((plan) => plan.tier).join(" · ")}</span>
      </span>
    </label>
  );
}
