// Products as their owners see them: drafts too, with what can be done about each.
import { useEffect, useRef, useState } from "preact/hooks";
import { AuthChips, Chip, LifecycleChip, PublishChip } from "./chips";
import { useKeptFocus } from "./focus";
import { condition } from "./phases";
import { CreateDialog, DeleteDialog, EditDialog, PublishDialog } from "./product-dialogs";
import { Icon } from "./icons";
import { useListing } from "./listing";
import { Filters, PageHead, Pager, Search, SortHead } from "./list-parts";
import { Menu } from "./menu";
import { markReady } from "./ready";
import { Link, pageOf } from "./route";
import { me } from "./session";
import { DeniedProducts, Empty, Failure, Outdated, Skeleton } from "./states";
import { idOf, uidOf, type Product, type Verb } from "./types";

const FILTERS = {
  publishStatus: "Publish status",
  lifecycle: "Lifecycle",
  policy: "Policy",
  authentication: "Authentication",
  route: "Route",
  namespace: "Namespace",
  tag: "Tags",
};

export type ProductAct = { kind: "edit" | "delete" | "publish"; product: Product };

export function Manage() {
  const names = Object.keys(FILTERS).filter((name) => name !== "policy" || me.value?.can.listPlanPolicies);
  const listing = useListing<Product>("/apiproducts", names, ["products", "policies", "routes"]);
  const [act, setAct] = useState<ProductAct>();
  const [isCreating, setCreating] = useState(false);
  const { data, problem, reload } = listing;
  const list = useRef<HTMLElement>(null);
  useKeptFocus(list, data);
  useEffect(() => {
    if (data || problem) markReady();
  }, [data, problem]);
  const close = () => setAct(undefined);
  if (problem?.status === 403) return <DeniedProducts />;
  return (
    <>
      <PageHead title="Products" lead="An API product offers an HTTPRoute, with its plans, to the people who call it.">
        {me.value?.can.createProducts && (
          <button class="main" type="button" onClick={() => setCreating(true)}>
            <Icon name="plus" /> Create API product
          </button>
        )}
      </PageHead>
      <div class="split">
        <Filters listing={listing} titles={FILTERS} />
        <section class="grow stack" aria-label="API products" ref={list}>
          <Search label="Search products" />
          {problem && data && <Outdated problem={problem} onRetry={reload} />}
          {!data && problem && <Failure problem={problem} onRetry={reload} />}
          {!data && !problem && <Skeleton lines={8} kind="table" />}
          {data && data.items.length === 0 && <Nothing isFiltered={listing.isFiltered} />}
          {data && data.items.length > 0 && (
            <table class="card" aria-busy={listing.isStale}>
              <thead>
                <tr>
                  <SortHead by="name" listing={listing}>
                    Name
                  </SortHead>
                  <th scope="col">Route</th>
                  <SortHead by="status" listing={listing}>
                    Status
                  </SortHead>
                  <th scope="col">Authentication</th>
                  <th scope="col">Policy</th>
                  <th scope="col">
                    <span class="unseen">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((product) => (
                  <Row key={uidOf(product)} product={product} can={data.can?.[idOf(product)] ?? []} onAct={setAct} />
                ))}
              </tbody>
            </table>
          )}
          <Pager listing={listing} />
        </section>
      </div>
      {isCreating && <CreateDialog onClose={() => setCreating(false)} onDone={reload} />}
      {act && <ActDialog act={act} onClose={close} onDone={reload} />}
    </>
  );
}

export function ActDialog({ act, onClose, onDone }: { act: ProductAct; onClose: () => void; onDone: () => void }) {
  const parts = { product: act.product, onClose, onDone };
  if (act.kind === "edit") return <EditDialog {...parts} />;
  return act.kind === "delete" ? <DeleteDialog {...parts} /> : <PublishDialog {...parts} />;
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty picture="island" title="No API products match the selected filters." />;
  return (
    <Empty picture="ship" title="No API products yet">
      <p class="soft">Create an API product by registering an existing API: choose its route, and its policies come with it.</p>
    </Empty>
  );
}

interface RowProps {
  product: Product;
  can: Verb[];
  onAct: (act: ProductAct) => void;
}

function Row({ product, can, onAct }: RowProps) {
  const { metadata, spec } = product;
  const policy = /^Discovered PlanPolicy (\S+)/.exec(condition(product, "PlanPolicyDiscovered")?.message ?? "")?.[1];
  return (
    <tr data-uid={uidOf(product)}>
      <td data-label="Name">
        <Link class="strong" to={pageOf("products", metadata.namespace, metadata.name)}>
          {spec.displayName}
        </Link>
        <span class="soft small block">
          {metadata.namespace}/{metadata.name} {spec.version && `· ${spec.version}`}
        </span>
      </td>
      <td data-label="Route">{spec.targetRef.name}</td>
      <td data-label="Status">
        <span class="chips">
          <PublishChip product={product} /> <LifecycleChip product={product} />
        </span>
      </td>
      <td data-label="Authentication">
        <span class="chips">
          <AuthChips product={product} />
        </span>
      </td>
      <td data-label="Policy">{policy ? <Chip>{policy}</Chip> : <span class="soft">N/A</span>}</td>
      <td class="actions">
        <ProductMenu {...{ product, can, onAct }} />
      </td>
    </tr>
  );
}

export function ProductMenu({ product, can, onAct }: RowProps) {
  if (!can.includes("update") && !can.includes("delete")) return null;
  const isPublished = product.spec.publishStatus === "Published";
  const act = (kind: ProductAct["kind"]) => () => onAct({ kind, product });
  return (
    <Menu label={`Actions for ${product.spec.displayName}`} face={<Icon name="dots" />}>
      {can.includes("update") && (
        <>
          <button type="button" onClick={act("publish")}>
            <Icon name={isPublished ? "eyeOff" : "eye"} /> {isPublished ? "Unpublish" : "Publish"}
          </button>
          <button type="button" onClick={act("edit")}>
            <Icon name="edit" /> Edit
          </button>
        </>
      )}
      {can.includes("delete") && (
        <button type="button" class="bad-text" onClick={act("delete")}>
          <Icon name="trash" /> Delete
        </button>
      )}
    </Menu>
  );
}
