// All keys of the caller.
import { useEffect, useRef, useState } from "preact/hooks";
import { Ends, PhaseChip } from "./chips";
import { KeyDialog, type KeyAct } from "./key-dialogs";
import { useKeptFocus } from "./focus";
import { Icon } from "./icons";
import { KeyMenu } from "./keys-tab";
import { useListing } from "./listing";
import { Filters, PageHead, Pager, SortHead } from "./list-parts";
import { now } from "./now";
import { phaseOf } from "./phases";
import { markReady } from "./ready";
import { RequestDialog } from "./request-dialog";
import { Link, pageOf } from "./route";
import { SecretField, useSecret } from "./secret";
import { me } from "./session";
import { Empty, Failure, Outdated, Skeleton } from "./states";
import { uidOf, type Key } from "./types";
import { dateText } from "./when";

const FILTERS = { status: "Status", apiProductName: "API product", tier: "Tier", namespace: "Namespace" };

export function MyKeys() {
  const listing = useListing<Key>("/requests/my", Object.keys(FILTERS), ["keys"]);
  const [act, setAct] = useState<KeyAct>();
  const [isAsking, setAsking] = useState(false);
  const { data, problem, reload } = listing;
  const list = useRef<HTMLElement>(null);
  useKeptFocus(list, data);
  useEffect(() => {
    if (data || problem) markReady();
  }, [data, problem]);
  return (
    <>
      <PageHead title="My API keys" lead="Your requests and keys, for all APIs.">
        {me.value?.can.requestKeys && (
          <button class="main" type="button" onClick={() => setAsking(true)}>
            <Icon name="key" /> Request API access
          </button>
        )}
      </PageHead>
      <div class="split">
        <Filters listing={listing} titles={FILTERS} />
        <section class="grow stack" aria-label="Keys" ref={list}>
          {problem && data && <Outdated problem={problem} onRetry={reload} />}
          {!data && problem && <Failure problem={problem} onRetry={reload} />}
          {!data && !problem && <Skeleton lines={8} kind="table" />}
          {data && data.items.length === 0 && <Nothing isFiltered={listing.isFiltered} />}
          {data && data.items.length > 0 && (
            <table class="card" aria-busy={listing.isStale}>
              <thead>
                <tr>
                  <SortHead by="product" listing={listing}>
                    API product
                  </SortHead>
                  <SortHead by="status" listing={listing}>
                    Status
                  </SortHead>
                  <th scope="col">Tier</th>
                  <th scope="col">API key</th>
                  <SortHead by="created" listing={listing}>
                    Requested
                  </SortHead>
                  <th scope="col">Expires</th>
                  <th scope="col">
                    <span class="unseen">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.items.map((key) => (
                  <Row key={uidOf(key)} of={key} onAct={setAct} />
                ))}
              </tbody>
            </table>
          )}
          <Pager listing={listing} />
        </section>
      </div>
      {isAsking && <RequestDialog onClose={() => setAsking(false)} onDone={reload} />}
      {act && <KeyDialog act={act} onClose={() => setAct(undefined)} onDone={reload} />}
    </>
  );
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty picture="island" title="No API keys match the selected filters." />;
  return (
    <Empty picture="anchor" title="No API keys found. Request access to an API to get started.">
      <Link class="button main" to="/">
        To the catalog
      </Link>
    </Empty>
  );
}

function Row({ of, onAct }: { of: Key; onAct: (act: KeyAct) => void }) {
  const { metadata, spec, status } = of;
  const secret = useSecret(of);
  const phase = phaseOf(of, now.value);
  return (
    <tr data-uid={uidOf(of)}>
      <td data-label="API product">
        <Link class="strong" to={`${pageOf("products", metadata.namespace, spec.apiProductRef.name)}#keys`}>
          {spec.apiProductRef.name}
        </Link>
        <Link class="soft small block wrap" to={pageOf("keys", metadata.namespace, metadata.name)}>
          {metadata.name}
        </Link>
      </td>
      <td data-label="Status">
        <PhaseChip of={of} now={now.value} />
        {phase === "Rejected" && <span class="soft small block wrap">{status?.reason || "No reason given"}</span>}
      </td>
      <td data-label="Tier">{spec.planTier}</td>
      <td data-label="API key">{phase === "Approved" ? <SecretField of={of} secret={secret} /> : <span class="soft">–</span>}</td>
      <td data-label="Requested">{dateText(metadata.creationTimestamp)}</td>
      <td data-label="Expires">
        <Ends of={of} now={now.value} />
      </td>
      <td class="actions">
        <KeyMenu of={of} onAct={onAct} />
      </td>
    </tr>
  );
}
