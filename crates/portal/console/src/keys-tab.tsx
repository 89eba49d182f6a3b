// The tab with the caller's own keys of a product: pending, rejected, approved.
import { useRef, useState } from "preact/hooks";
import { BASE } from "./api";
import { Ends, PhaseChip } from "./chips";
import { Examples } from "./example-tabs";
import { useKeptFocus } from "./focus";
import { Icon } from "./icons";
import { KeyDialog, type KeyAct } from "./key-dialogs";
import { Menu } from "./menu";
import { now } from "./now";
import { phaseOf } from "./phases";
import { useResource } from "./resource";
import { Link, pageOf } from "./route";
import { SecretField, useSecret } from "./secret";
import { Empty, Failure, Outdated, Skeleton } from "./states";
import { uidOf, type Key, type List, type Product, type Verb } from "./types";
import { dateText } from "./when";

export function KeysTab({ product }: { product: Product }) {
  const { namespace, name } = product.metadata;
  const asked = new URLSearchParams({ apiProductName: name, namespace, pageSize: "500" });
  const { data, problem, reload } = useResource<List<Key>>(`${BASE}/requests/my?${asked}`, { kinds: ["keys"] });
  const [act, setAct] = useState<KeyAct>();
  const list = useRef<HTMLDivElement>(null);
  useKeptFocus(list, data);
  if (!data && problem) return <Failure problem={problem} onRetry={reload} />;
  if (!data) return <Skeleton lines={4} kind="table" />;
  const of = (...phases: string[]) => data.items.filter((key) => phases.includes(phaseOf(key, now.value)));
  const [pending, rejected, keys] = [of("Pending"), of("Rejected"), of("Approved", "Expired")];
  return (
    <div class="stack" ref={list}>
      {problem && <Outdated problem={problem} onRetry={reload} />}
      {data.items.length === 0 && (
        <Empty picture="anchor" title="No API keys yet. Request access to get started.">
          <p class="soft">A key belongs to one plan. You can have several, for example one for each program.</p>
        </Empty>
      )}
      {pending.length > 0 && (
        <Group title="Pending Requests" heads={["Status", "Tier", "Use case", "Requested", "Expires", ""]}>
          {pending.map((key) => (
            <PendingRow key={uidOf(key)} of={key} onAct={setAct} />
          ))}
        </Group>
      )}
      {rejected.length > 0 && (
        <Group title="Rejected Requests" heads={["Status", "Tier", "Reason", "Requested", "Reviewed"]}>
          {rejected.map((key) => (
            <RejectedRow key={uidOf(key)} of={key} />
          ))}
        </Group>
      )}
      {keys.length > 0 && (
        <Group title="API Keys" heads={["Tier", "Approved", "Expires", "API key", ""]}>
          {keys.map((key) => (
            <KeyRows key={uidOf(key)} of={key} onAct={setAct} />
          ))}
        </Group>
      )}
      {act && <KeyDialog act={act} onClose={() => setAct(undefined)} onDone={reload} />}
    </div>
  );
}

function Group({ title, heads, children }: { title: string; heads: string[]; children: preact.ComponentChildren }) {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head || <span class="unseen">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

interface RowProps {
  of: Key;
  onAct: (act: KeyAct) => void;
}

function PendingRow({ of, onAct }: RowProps) {
  return (
    <tr data-uid={uidOf(of)}>
      <td data-label="Status">
        <PhaseChip of={of} now={now.value} />
      </td>
      <td data-label="Tier">{of.spec.planTier}</td>
      <td data-label="Use case">
        <span class="two-lines" title={of.spec.useCase}>
          {of.spec.useCase || "–"}
        </span>
      </td>
      <td data-label="Requested">{dateText(of.metadata.creationTimestamp)}</td>
      <td data-label="Expires">
        <Ends of={of} now={now.value} />
      </td>
      <td class="actions">
        <KeyMenu of={of} onAct={onAct} />
      </td>
    </tr>
  );
}

function RejectedRow({ of }: { of: Key }) {
  return (
    <tr>
      <td data-label="Status">
        <PhaseChip of={of} now={now.value} />
      </td>
      <td data-label="Tier">{of.spec.planTier}</td>
      <td data-label="Reason" class="wrap">
        {of.status?.reason || "No reason given"}
      </td>
      <td data-label="Requested">{dateText(of.metadata.creationTimestamp)}</td>
      <td data-label="Reviewed">{dateText(of.status?.reviewedAt)}</td>
    </tr>
  );
}

function KeyRows({ of, onAct }: RowProps) {
  const [isOpen, setOpen] = useState(false);
  const secret = useSecret(of);
  const isApproved = phaseOf(of, now.value) === "Approved";
  const details = `details-${of.metadata.name}`;
  return (
    <>
      <tr data-uid={uidOf(of)}>
        <td data-label="Tier">
          <span class="row">
            <button
              class="quiet square"
              type="button"
              aria-expanded={isOpen}
              aria-controls={isOpen ? details : undefined}
              aria-label={`Details of ${of.metadata.name}`}
              onClick={() => setOpen(!isOpen)}
            >
              <Icon name={isOpen ? "chevron" : "arrow"} />
            </button>
            <span class="strong">{of.spec.planTier}</span>
          </span>
        </td>
        <td data-label="Approved">{dateText(of.status?.reviewedAt)}</td>
        <td data-label="Expires">
          <Ends of={of} now={now.value} />
        </td>
        <td data-label="API key">{isApproved ? <SecretField of={of} secret={secret} /> : <PhaseChip of={of} now={now.value} />}</td>
        <td class="actions">
          <KeyMenu of={of} onAct={onAct} />
        </td>
      </tr>
      {isOpen && (
        <tr class="details" id={details}>
          <td colSpan={5}>
            <p class="eyebrow">Use case</p>
            <p class="wrap">{of.spec.useCase || "–"}</p>
            <p class="eyebrow">Usage examples</p>
            <Examples of={of} secret={secret.value} />
          </td>
        </tr>
      )}
    </>
  );
}

export function KeyMenu({ of, onAct, hasLink = true }: RowProps & { hasLink?: boolean }) {
  const phase = phaseOf(of, now.value);
  const { namespace, name } = of.metadata;
  const act = (kind: KeyAct["kind"]) => () => onAct({ kind, key: of });
  // Lists are of the caller's own keys, and say nothing with each.
  const may = (verb: Verb) => of.can?.includes(verb) ?? true;
  return (
    <Menu label={`Actions for ${name}`} face={<Icon name="dots" />}>
      {hasLink && (
        <Link to={pageOf("keys", namespace, name)}>
          <Icon name="eye" /> View details
        </Link>
      )}
      {phase === "Pending" && may("update") && (
        <button type="button" onClick={act("edit")}>
          <Icon name="edit" /> Edit
        </button>
      )}
      {phase === "Approved" && (
        <button type="button" onClick={act("rotate")}>
          <Icon name="reload" /> Rotate
        </button>
      )}
      <button type="button" class="bad-text" onClick={act("delete")}>
        <Icon name="trash" /> Delete
      </button>
    </Menu>
  );
}
