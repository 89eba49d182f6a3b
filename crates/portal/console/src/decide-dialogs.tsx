// Dialogs in which requests are approved or rejected.
import { useState } from "preact/hooks";
import type { Decision } from "./approvals";
import { at, BASE, call } from "./api";
import { Dialog } from "./dialog";
import { Field } from "./fields";
import { Icon } from "./icons";
import { decided } from "./kubectl";
import { limitText } from "./limits";
import { now } from "./now";
import { Fact } from "./overview";
import { phaseOf } from "./phases";
import { useResource } from "./resource";
import { me } from "./session";
import { succeeded } from "./toasts";
import type { Key } from "./types";
import { dateText } from "./when";
import { endOf } from "./phases";

interface DecideProps {
  of: Key;
  verdict: Decision["verdict"];
  onClose: () => void;
  onDone: () => void;
}

export function DecideDialog({ of, verdict, onClose, onDone }: DecideProps) {
  const { namespace, name } = of.metadata;
  const [reason, setReason] = useState("");
  const isApproval = verdict === "approve";
  const isRevocation = phaseOf(of, now.value) === "Approved";
  const current = useResource<Key>(at("requests", namespace, name), { kinds: ["keys"], only: { namespace, name }, isUrgent: true });
  const hasChanged = current.data !== undefined && phaseOf(current.data, now.value) !== phaseOf(of, now.value);
  const action = isApproval ? "Approve" : isRevocation ? "Revoke" : "Reject";
  const act = async () => {
    const body = isApproval ? (reason ? { comment: reason } : {}) : { reason };
    await call("POST", at("requests", namespace, name, verdict), { body });
    succeeded({ Approve: "Request approved", Revoke: "Key revoked", Reject: "Request rejected" }[action]);
    onDone();
    onClose();
  };
  return (
    <Dialog
      title={`${action} ${isRevocation ? "this key" : "this request"}?`}
      action={action}
      isDangerous={!isApproval}
      isDisabled={hasChanged || current.problem?.status === 404 || (!isApproval && !reason.trim())}
      kubectl={decided(of.metadata, isApproval ? "Approved" : "Rejected", me.value?.user ?? "YOU", reason)}
      onSubmit={act}
      onClose={onClose}
    >
      {hasChanged && current.data && <Meanwhile of={current.data} />}
      {current.problem?.status === 404 && <p class="note warn">The request was deleted meanwhile.</p>}
      <dl class="facts">
        <Fact name="User">{of.spec.requestedBy.userId}</Fact>
        <Fact name="Email">{of.spec.requestedBy.email ?? "–"}</Fact>
        <Fact name="API">{of.spec.apiProductRef.name}</Fact>
        <Fact name="Tier">{`${of.spec.planTier} (${limitText(of.status?.limits)})`}</Fact>
        <Fact name="Use case">{of.spec.useCase || "–"}</Fact>
        <Fact name="Expires">{endOf(of) ? dateText(endOf(of)) : "No expiration"}</Fact>
      </dl>
      {isRevocation && <p class="note bad">Calls with this key fail at once. This cannot be undone.</p>}
      <Field
        label={isApproval ? "Comment (optional)" : "Reason"}
        value={reason}
        onChange={setReason}
        rows={2}
        isRequired={!isApproval}
        problem={isApproval || reason.trim() ? undefined : "A reason helps the requester to ask better next time"}
        hint="The requester reads this."
      />
    </Dialog>
  );
}

function Meanwhile({ of }: { of: Key }) {
  const verb = { Approved: "approved", Rejected: "rejected", Expired: "ended", Pending: "changed" }[phaseOf(of, now.value)];
  return (
    <p class="note warn" role="alert">
      <Icon name="alert" />
      <span>{`${of.status?.reviewedBy ?? "Somebody"} ${verb} this meanwhile.`}</span>
    </p>
  );
}

interface Result {
  namespace: string;
  name: string;
  success: boolean;
  error?: string;
}

interface BulkProps {
  decision: Decision;
  onClose: () => void;
  onDone: () => void;
}

export function BulkDialog({ decision: { verdict, keys }, onClose, onDone }: BulkProps) {
  const [reason, setReason] = useState("");
  const [results, setResults] = useState<Result[]>();
  const isApproval = verdict === "approve";
  const action = isApproval ? "Approve" : "Reject";
  const act = async () => {
    const requests = keys.map(({ metadata: { namespace, name } }) => ({ namespace, name }));
    const told = isApproval ? (reason ? { comment: reason } : {}) : { reason };
    const answer = await call<{ results: Result[] }>("POST", `${BASE}/requests/bulk-${verdict}`, { body: { requests, ...told } });
    onDone();
    if (answer.results.every((result) => result.success)) {
      succeeded(`${answer.results.length} requests ${isApproval ? "approved" : "rejected"}`);
      onClose();
    } else setResults(answer.results);
  };
  if (results) return <Results {...{ action, results, onClose }} />;
  return (
    <Dialog
      title={`${action} ${keys.length} requests?`}
      action={`${action} all`}
      isDangerous={!isApproval}
      isDisabled={!isApproval && !reason.trim()}
      kubectl={keys.map((key) => decided(key.metadata, isApproval ? "Approved" : "Rejected", me.value?.user ?? "YOU", reason)).join("\n")}
      onSubmit={act}
      onClose={onClose}
    >
      <ul class="bullets">
        {keys.map(({ metadata, spec }) => (
          <li key={metadata.name} class="wrap">
            {`${spec.requestedBy.userId} – ${spec.apiProductRef.name} (${spec.planTier})`}
          </li>
        ))}
      </ul>
      <Field
        label={isApproval ? "Comment (optional)" : "Reason"}
        value={reason}
        onChange={setReason}
        rows={2}
        isRequired={!isApproval}
        hint="All these requesters read this."
      />
    </Dialog>
  );
}

function Results({ action, results, onClose }: { action: string; results: Result[]; onClose: () => void }) {
  const bad = results.filter((result) => !result.success);
  const outcome = bad.length === results.length ? "Failed" : "Completed with Issues";
  return (
    <Dialog title={`Bulk ${action} ${outcome}`} onClose={onClose}>
      <p>{`${results.length - bad.length} of ${results.length} done. These were not:`}</p>
      <ul class="bullets">
        {bad.map(({ namespace, name, error }) => (
          <li key={`${namespace}/${name}`} class="wrap">
            <span class="strong">{`${namespace}/${name}`}</span>: {error ?? "no reason given"}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
