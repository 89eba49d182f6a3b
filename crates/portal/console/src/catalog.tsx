// The catalog: a card for each API that is published.
import { useEffect, useRef } from "preact/hooks";
import { AuthChips, Chip, LifecycleChip, lifecycleOf } from "./chips";
import { useKeptFocus } from "./focus";
import { Icon } from "./icons";
import { limitText } from "./limits";
import { clearFilters, useListing } from "./listing";
import { Filters, PageHead, Pager, Search } from "./list-parts";
import { markReady } from "./ready";
import { Link, pageOf } from "./route";
import { me } from "./session";
import { DeniedProducts, Empty, Failure, Outdated, Skeleton } from "./states";
import { uidOf, type Product } from "./types";

const FILTERS = { tag: "Tags", authentication: "Authentication", lifecycle: "Lifecycle", namespace: "Namespace" };

export function Catalog() {
  const listing = useListing<Product>("/apiproducts", Object.keys(FILTERS), ["products", "policies"], "catalog=true&pageSize=24");
  const { data, problem, reload } = listing;
  const list = useRef<HTMLElement>(null);
  useKeptFocus(list, data);
  useEffect(() => {
    if (data || problem) markReady();
  }, [data, problem]);
  if (problem?.status === 403) return <DeniedProducts />;
  return (
    <>
      <PageHead title="API catalog" lead="Browse what your teams publish, read how it works, and ask for a key." />
      <div class="split">
        <Filters listing={listing} titles={FILTERS} />
        <section class="grow stack" aria-label="APIs" ref={list}>
          <Search label="Search APIs" />
          {problem && data && <Outdated problem={problem} onRetry={reload} />}
          {!data && problem && <Failure problem={problem} onRetry={reload} />}
          {!data && !problem && <Skeleton lines={9} kind="card" />}
          {data && data.items.length === 0 && <Nothing isFiltered={listing.isFiltered} />}
          {data && data.items.length > 0 && (
            <ul class="cards" aria-busy={listing.isStale}>
              {data.items.map((product) => (
                <Card key={uidOf(product)} product={product} />
              ))}
            </ul>
          )}
          <Pager listing={listing} />
        </section>
      </div>
    </>
  );
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Empty picture="island" title="No API matches">
        <p class="soft">Try another word, or fewer filters.</p>
        <button class="plain" type="button" onClick={() => clearFilters(Object.keys(FILTERS))}>
          Clear search and filters
        </button>
      </Empty>
    );
  }
  const isOwner = me.value?.can.createProducts;
  return (
    <Empty picture="ship" title="No API is published yet">
      <p class="soft">{isOwner ? "Publish the first one." : "Come back later, or ask the team that runs your API to publish it."}</p>
      {isOwner && (
        <Link class="button main" to="/products">
          To your products
        </Link>
      )}
    </Empty>
  );
}

export function Monogram({ text }: { text: string }) {
  const words = text.split(/[\s_-]+/).filter(Boolean);
  const letters = words.length > 1 ? words.slice(0, 2).map((word) => [...word][0]) : [...(words[0] ?? "?")].slice(0, 2);
  return (
    <span class="monogram" aria-hidden="true">
      {letters.join("").toUpperCase()}
    </span>
  );
}

function Card({ product }: { product: Product }) {
  const { metadata, spec, status } = product;
  const plans = status?.discoveredPlans ?? [];
  const tags = spec.tags ?? [];
  return (
    <li class="card api-card" data-uid={uidOf(product)}>
      <div class="row top">
        <Monogram text={spec.displayName} />
        <div class="grow">
          <h2 class="card-title">
            <Link class="cover" to={pageOf("products", metadata.namespace, metadata.name)}>
              {spec.displayName}
            </Link>
          </h2>
          <p class="soft small clip">
            {metadata.namespace}
            {spec.version && ` · ${spec.version}`}
          </p>
        </div>
      </div>
      <p class="two-lines">{spec.description || <span class="soft">No description</span>}</p>
      <div class="chips">
        {lifecycleOf(product) !== "production" && <LifecycleChip product={product} />}
        <AuthChips product={product} />
        {tags.slice(0, 2).map((tag) => (
          <Chip key={tag} tone="accent">
            {tag}
          </Chip>
        ))}
        {tags.length > 2 && <span class="soft small">+{tags.length - 2}</span>}
      </div>
      <p class="card-foot soft small">
        <Icon name="gauge" />
        <span class="clip">{plans[0] ? plans.map((plan) => plan.tier).join(" · ") : "No plans"}</span>
        {plans[0] && <span class="clip grow-end">{`from ${limitText(plans[plans.length - 1]?.limits)}`}</span>}
      </p>
    </li>
  );
}
