// The page of a product, with its tabs.
import { useEffect, useState } from "preact/hooks";
import { at } from "./api";
import { Monogram } from "./catalog";
import { AuthChips, Chip, LifecycleChip, lifecycleOf, PublishChip } from "./chips";
import { Definition } from "./definition";
import { Icon } from "./icons";
import { KeysTab } from "./keys-tab";
import { ActDialog, ProductMenu, type ProductAct } from "./manage";
import { Overview } from "./overview";
import { authOf, whyNoRequest } from "./phases";
import { Policies } from "./policies";
import { markReady } from "./ready";
import { RequestDialog } from "./request-dialog";
import { useResource } from "./resource";
import { go, hash, Link } from "./route";
import { me } from "./session";
import { Failure, Outdated, Skeleton } from "./states";
import { TabList, TabPanel } from "./tabs";
import { TryIt } from "./try";
import type { Product } from "./types";

export function ProductPage({ ns, name }: { ns: string; name: string }) {
  const path = at("apiproducts", ns, name);
  const { data, problem, reload } = useResource<Product>(path, { kinds: ["products", "policies", "routes"], only: { namespace: ns, name } });
  useEffect(() => {
    if (data || problem) markReady();
    if (data) document.title = `${data.spec.displayName} · Portolan`;
  }, [data, problem]);
  if (!data && problem) return <Failure problem={problem} onRetry={reload} />;
  if (!data) {
    return (
      <div class="stack">
        <Skeleton lines={1} kind="card" />
        <Skeleton lines={6} />
      </div>
    );
  }
  return (
    <>
      {problem && <Outdated problem={problem} onRetry={reload} />}
      <Loaded product={data} reload={reload} />
    </>
  );
}

function Loaded({ product, reload }: { product: Product; reload: () => void }) {
  const [act, setAct] = useState<ProductAct>();
  const { apiKey } = authOf(product);
  const tabs = [
    ["overview", "Overview"],
    ["definition", "Definition"],
    ["policies", "Policies"],
    ...(apiKey ? [["keys", "API keys"]] : []),
    ...(me.value?.features.tryIt ? [["try", "Try it"]] : []),
  ] as [string, string][];
  const current = tabs.some(([id]) => id === hash.value) ? hash.value : "overview";
  const done = () => (act?.kind === "delete" ? go("/") : reload());
  return (
    <article class="stack">
      <Head product={product} onAct={setAct} />
      <Warning product={product} />
      <TabList label="About this API" tabs={tabs} current={current} />
      <TabPanel id={current}>
        {current === "overview" && <Overview product={product} />}
        {current === "definition" && <Definition product={product} />}
        {current === "policies" && <Policies product={product} />}
        {current === "keys" && <KeysTab product={product} />}
        {current === "try" && <TryIt product={product} />}
      </TabPanel>
      {act && <ActDialog act={act} onClose={() => setAct(undefined)} onDone={done} />}
    </article>
  );
}

function Head({ product, onAct }: { product: Product; onAct: (act: ProductAct) => void }) {
  const { spec, metadata } = product;
  return (
    <header class="product-head">
      <p class="crumbs">
        <Link to="/">Catalog</Link> <Icon name="arrow" /> <span>{metadata.namespace}</span>
      </p>
      <div class="row top product-row">
        <Monogram text={spec.displayName} />
        <div class="grow">
          <h1>{spec.displayName}</h1>
          {spec.description && <p class="lead">{spec.description}</p>}
          <div class="chips">
            {spec.version && <Chip>{spec.version}</Chip>}
            <PublishChip product={product} />
            <LifecycleChip product={product} />
            <AuthChips product={product} />
          </div>
        </div>
        <div class="row">
          {authOf(product).apiKey && me.value?.can.requestKeys && <RequestButton product={product} />}
          <ProductMenu product={product} can={product.can ?? []} onAct={onAct} />
        </div>
      </div>
    </header>
  );
}

/** The button that asks for a key; why not, if that is not possible. */
export function RequestButton({ product }: { product: Product }) {
  const [isOpen, setOpen] = useState(false);
  const why = whyNoRequest(product, me.value?.email);
  return (
    <div class="request">
      <button class="main" type="button" disabled={why !== undefined} aria-describedby={why && "why-no-request"} onClick={() => setOpen(true)}>
        <Icon name="key" /> Request API access
      </button>
      {why && (
        <p class="hint" id="why-no-request">
          {why}
        </p>
      )}
      {isOpen && <RequestDialog product={product} onClose={() => setOpen(false)} />}
    </div>
  );
}

function Warning({ product }: { product: Product }) {
  const lifecycle = lifecycleOf(product);
  if (lifecycle !== "deprecated" && lifecycle !== "retired") return null;
  const isRetired = lifecycle === "retired";
  return (
    <p class={`note ${isRetired ? "bad" : "warn"}`}>
      <Icon name="alert" />
      <span>
        {isRetired
          ? "This API is retired. It may stop answering at any time: move away from it now."
          : "This API is deprecated. It still answers, but plan to move away from it."}
      </span>
    </p>
  );
}
