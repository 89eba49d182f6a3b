// The queue of requests that the caller may decide.
import { useEffect, useRef, useState } from "preact/hooks";
import { Ends, PhaseChip } from "./chips";
import { BulkDialog, DecideDialog } from "./decide-dialogs";
import { Icon } from "./icons";
import { useListing, type Listing } from "./listing";
import { Filters, PageHead, Pager, SortHead } from "./list-parts";
import { now } from "./now";
import { phaseOf } from "./phases";
import { markReady } from "./ready";
import { Link, pageOf } from "./route";
import { me } from "./session";
import { Denied, Empty, Failure, Outdated, Skeleton } from "./states";
import { idOf, uidOf, type Key, type List } from "./types";
import { dateText } from "./when";
import { useKeptFocus } from "./focus";
import { announce } from "./announce";

const FILTERS = { status: "Status", apiProductName: "API product", tier: "Tier", namespace: "Namespace" };

export type Decision = { verdict: "approve" | "reject"; keys: Key[] };

export function Approvals() {
  const listing = useListing<Key>("/requests", Object.keys(FILTERS), ["keys"]);
  const [decision, setDecision] = useState<Decision>();
  const { data, problem, reload } = listing;
  const { selected, toggle, clear } = useSelection(data);
  const list = useRef<HTMLElement>(null);
  useKeptFocus(list, data);
  useEffect(() => {
    if (data || problem) markReady();
  }, [data, problem]);
  const close = () => setDecision(undefined);
  const done = () => {
    clear();
    reload();
  };
  if (decidesNothing(listing)) {
    return <Denied title="You don't have permission to approve API keys" permission="patch apikeys.devportal.kuadrant.io/status" />;
  }
  return (
    <>
      <PageHead title="API key approval" lead="Requests for keys of your products. Oldest first helps those who wait." />
      <div class="split">
        <Filters listing={listing} titles={FILTERS} />
        <section class="grow stack" aria-label="Requests" ref={list}>
          {problem && data && <Outdated problem={problem} onRetry={reload} />}
          {!data && problem && <Failure problem={problem} onRetry={reload} />}
          {!data && !problem && <Skeleton lines={8} kind="table" />}
          {data && data.items.length === 0 && (
            <Empty picture="light" title={listing.isFiltered ? "No API keys match the selected filters." : "No API keys found."}>
              <p class="soft">{listing.isFiltered ? "Clear a filter to see more." : "Nobody waits for you."}</p>
            </Empty>
          )}
          {data && data.items.length > 0 && <Queue {...{ listing, selected, toggle }} data={data} onDecide={setDecision} />}
          <Pager listing={listing} />
          {selected.length > 0 && <BulkBar keys={selected} onDecide={setDecision} onClear={clear} />}
        </section>
      </div>
      {decision?.keys.length === 1 && decision.keys[0] && (
        <DecideDialog of={decision.keys[0]} verdict={decision.verdict} onClose={close} onDone={done} />
      )}
      {decision && decision.keys.length > 1 && <BulkDialog decision={decision} onClose={close} onDone={done} />}
    </>
  );
}

/** Whether somebody lacks the right to decide, and finds no request either, even without filters. */
function decidesNothing({ data, problem }: Listing<Key>): boolean {
  if (me.value?.can.decideKeys) return false;
  if (problem) return problem.status === 403;
  return data !== undefined && data.total === 0 && Object.values(data.facets ?? {}).every((values) => values.length === 0);
}

/** Selected requests; one that was decided meanwhile drops out, and that is said. */
function useSelection(data: List<Key> | undefined) {
  const [uids, setUids] = useState<string[]>([]);
  const open = (data?.items ?? []).filter((key) => phaseOf(key, now.value) === "Pending");
  const selected = open.filter((key) => uids.includes(uidOf(key)));
  useEffect(() => {
    if (!data || selected.length === uids.length) return;
    announce(`${uids.length - selected.length} of the selected requests changed and are not selected any more`);
    setUids(selected.map(uidOf));
  }, [data]);
  const toggle = (...keys: Key[]) => {
    const wanted = keys.map(uidOf);
    const areAll = wanted.every((uid) => uids.includes(uid));
    setUids(areAll ? uids.filter((uid) => !wanted.includes(uid)) : [...new Set([...uids, ...wanted])]);
  };
  return { selected, toggle, clear: () => setUids([]) };
}

interface QueueProps {
  listing: Parameters<typeof Filters>[0]["listing"];
  data: List<Key>;
  selected: Key[];
  toggle: (...keys: Key[]) => void;
  onDecide: (decision: Decision) => void;
}

function Queue({ listing, data, selected, toggle, onDecide }: QueueProps) {
  const open = data.items.filter((key) => phaseOf(key, now.value) === "Pending" && mayDecide(data, key));
  return (
    <table class="card" aria-busy={listing.isStale}>
      <thead>
        <tr>
          <th scope="col" class="narrow">
            <input
              type="checkbox"
              aria-label="Select all pending requests"
              disabled={!open.length}
              checked={open.length > 0 && open.every((key) => selected.includes(key))}
              onChange={() => toggle(...open)}
            />
          </th>
          <SortHead by="user" listing={listing}>
            Requester
          </SortHead>
          <th scope="col">API product</th>
          <SortHead by="status" listing={listing}>
            Status
          </SortHead>
          <SortHead by="created" listing={listing}>
            Requested
          </SortHead>
          <th scope="col">Expires</th>
          <th scope="col">Reviewed by</th>
          <th scope="col">
            <span class="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {data.items.map((key) => (
          <Row key={uidOf(key)} of={key} may={mayDecide(data, key)} isSelected={selected.includes(key)} {...{ toggle, onDecide }} />
        ))}
      </tbody>
    </table>
  );
}

function mayDecide(data: List<Key>, key: Key): boolean {
  return data.can === undefined || (data.can[idOf(key)] ?? []).includes("approve");
}

interface RowProps {
  of: Key;
  may: boolean;
  isSelected: boolean;
  toggle: (...keys: Key[]) => void;
  onDecide: (decision: Decision) => void;
}

function Row({ of, may, isSelected, toggle, onDecide }: RowProps) {
  const { spec, metadata, status } = of;
  const phase = phaseOf(of, now.value);
  const isOpen = phase === "Pending" && may;
  const who = spec.requestedBy.userId;
  const decide = (verdict: Decision["verdict"]) => () => onDecide({ verdict, keys: [of] });
  return (
    <tr data-uid={uidOf(of)}>
      <td class="narrow">
        <input type="checkbox" aria-label={`Select ${metadata.name}`} disabled={!isOpen} checked={isSelected} onChange={() => toggle(of)} />
      </td>
      <td data-label="Requester">
        <span class="strong wrap">{who}</span>
        {spec.requestedBy.email && <span class="soft small block wrap">{spec.requestedBy.email}</span>}
      </td>
      <td data-label="API product">
        <Link to={pageOf("products", metadata.namespace, spec.apiProductRef.name)}>{spec.apiProductRef.name}</Link>
        <span class="soft small block">{`${metadata.namespace} · ${spec.planTier}`}</span>
      </td>
      <td data-label="Status">
        <PhaseChip of={of} now={now.value} />
      </td>
      <td data-label="Requested">{dateText(metadata.creationTimestamp)}</td>
      <td data-label="Expires">
        <Ends of={of} now={now.value} />
      </td>
      <td data-label="Reviewed by">{status?.reviewedBy === "system" ? "Automatic" : (status?.reviewedBy ?? "–")}</td>
      <td class="actions">
        {isOpen && (
          <span class="row">
            <button class="plain" type="button" data-act="approve" aria-label={`Approve ${metadata.name}`} onClick={decide("approve")}>
              Approve
            </button>
            <button class="quiet" type="button" data-act="reject" aria-label={`Reject ${metadata.name}`} onClick={decide("reject")}>
              Reject
            </button>
          </span>
        )}
        {phase === "Approved" && may && (
          <button class="quiet" type="button" data-act="reject" aria-label={`Revoke ${metadata.name}`} onClick={decide("reject")}>
            Revoke
          </button>
        )}
      </td>
    </tr>
  );
}

interface BulkBarProps {
  keys: Key[];
  onDecide: (decision: Decision) => void;
  onClear: () => void;
}

function BulkBar({ keys, onDecide, onClear }: BulkBarProps) {
  return (
    <div class="bulk" role="region" aria-label="Selected requests">
      <span class="strong grow">{keys.length === 1 ? "1 request selected" : `${keys.length} requests selected`}</span>
      <button class="main" type="button" onClick={() => onDecide({ verdict: "approve", keys })}>
        <Icon name="check" /> Approve selected
      </button>
      <button class="plain" type="button" onClick={() => onDecide({ verdict: "reject", keys })}>
        Reject selected
      </button>
      <button class="quiet" type="button" onClick={onClear}>
        Clear
      </button>
    </div>
  );
}
