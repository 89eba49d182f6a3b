// Dialogs about keys: change a request, delete, rotate.
import { useState } from "preact/hooks";
import { at, call } from "./api";
import { Dialog } from "./dialog";
import { Choice, Field, Radios } from "./fields";
import { deleted, patched, rotated } from "./kubectl";
import { tierText } from "./limits";
import { phaseOf } from "./phases";
import { now } from "./now";
import { ExpiryChoice, expiryOf, type Expiry } from "./expiry";
import { useResource } from "./resource";
import { succeeded } from "./toasts";
import type { Key, Product } from "./types";

export type KeyAct = { kind: "edit" | "delete" | "rotate"; key: Key };

interface Parts {
  of: Key;
  onClose: () => void;
  onDone: () => void;
}

export function KeyDialog({ act, onClose, onDone }: { act: KeyAct; onClose: () => void; onDone: () => void }) {
  const parts = { of: act.key, onClose, onDone };
  if (act.kind === "edit") return <EditKeyDialog {...parts} />;
  return act.kind === "delete" ? <DeleteKeyDialog {...parts} /> : <RotateDialog {...parts} />;
}

function EditKeyDialog({ of, onClose, onDone }: Parts) {
  const { namespace, name } = of.metadata;
  const product = useResource<Product>(at("apiproducts", namespace, of.spec.apiProductRef.name), { kinds: ["products"] });
  const [tier, setTier] = useState(of.spec.planTier);
  const [useCase, setUseCase] = useState(of.spec.useCase ?? "");
  const [expiry, setExpiry] = useState<Expiry>(of.spec.expiresAt ? { kind: "keep" } : { kind: "none" });
  const end = expiryOf(expiry, of.spec.expiresAt);
  const plans = product.data?.status?.discoveredPlans ?? [{ tier: of.spec.planTier }];
  const patch = {
    spec: {
      ...(tier === of.spec.planTier ? {} : { planTier: tier }),
      ...(useCase === (of.spec.useCase ?? "") ? {} : { useCase }),
      ...(end === of.spec.expiresAt ? {} : { expiresAt: end ?? null }),
    },
  };
  const save = async () => {
    await call("PATCH", at("requests", namespace, name), { body: patch });
    succeeded("Request saved");
    onDone();
    onClose();
  };
  return (
    <Dialog
      title="Edit request"
      action="Save"
      isDisabled={Object.keys(patch.spec).length === 0 || end === "invalid"}
      kubectl={patched("APIKey", of.metadata, patch)}
      onSubmit={save}
      onClose={onClose}
    >
      <Choice label="Tier" value={tier} onChange={setTier} options={plans.map((plan) => [plan.tier, tierText(plan)])} />
      <Field label="Use case (optional)" value={useCase} onChange={setUseCase} rows={3} />
      <ExpiryChoice expiry={expiry} onChange={setExpiry} kept={of.spec.expiresAt} />
    </Dialog>
  );
}

function DeleteKeyDialog({ of, onClose, onDone }: Parts) {
  const { namespace, name } = of.metadata;
  const isKey = phaseOf(of, now.value) === "Approved";
  const what = isKey ? "API key" : "request";
  const remove = async () => {
    await call("DELETE", at("requests", namespace, name));
    succeeded(isKey ? "API key deleted successfully" : "Request deleted successfully");
    onDone();
    onClose();
  };
  return (
    <Dialog title={`Delete this ${what}?`} action="Delete" isDangerous kubectl={deleted("apikey", of.metadata)} onSubmit={remove} onClose={onClose}>
      <p>
        Are you sure you want to delete this {what}? <code class="wrap">{name}</code>
      </p>
      {isKey && <p class="soft">Calls with this key fail at once, and its value cannot be brought back.</p>}
    </Dialog>
  );
}

const OVERLAPS = [
  ["kept", "It keeps working for a while"],
  ["ended", "It stops at once"],
] as const;
const OVERLAP_NOTES = {
  kept: "So that you can move your programs over.",
  ended: "For a key that has leaked: calls with the old value fail until your programs have the new one.",
};

function RotateDialog({ of, onClose, onDone }: Parts) {
  const { namespace, name } = of.metadata;
  const [before, setBefore] = useState<string>("kept");
  const overlap = before === "ended" ? "0" : undefined;
  const rotate = async () => {
    await call("POST", at("requests", namespace, name, "rotate"), { body: overlap ? { overlap } : {} });
    succeeded("The key gets a new value");
    onDone();
    onClose();
  };
  return (
    <Dialog title="Rotate this key?" action="Rotate" kubectl={rotated(of.metadata, overlap)} onSubmit={rotate} onClose={onClose}>
      <p>The key gets a new value at once.</p>
      <Radios label="The value before it" value={before} onChange={setBefore} options={OVERLAPS} notes={OVERLAP_NOTES} />
    </Dialog>
  );
}
