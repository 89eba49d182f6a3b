// The dialog that asks for a key.
import { useState } from "preact/hooks";
import { BASE, call } from "./api";
import { Dialog } from "./dialog";
import { ExpiryChoice, expiryOf, type Expiry } from "./expiry";
import { Field, Radios } from "./fields";
import { Icon } from "./icons";
import { applied } from "./kubectl";
import { limitText } from "./limits";
import { me } from "./session";
import { succeeded } from "./toasts";
import type { Product } from "./types";

export function RequestDialog({ product, onClose }: { product: Product; onClose: () => void }) {
  const { name, namespace } = product.metadata;
  const plans = product.status?.discoveredPlans ?? [];
  const [tier, setTier] = useState(plans.length === 1 ? (plans[0]?.tier ?? "") : "");
  const [useCase, setUseCase] = useState("");
  const [expiry, setExpiry] = useState<Expiry>({ kind: "none" });
  // One number for this dialog: however often it is sent, there is one request.
  const [id] = useState(() => crypto.randomUUID());
  const isAutomatic = product.spec.approvalMode === "automatic";
  const end = expiryOf(expiry);
  const isValid = tier !== "" && end !== "invalid";
  const optional = { ...(useCase.trim() ? { useCase: useCase.trim() } : {}), ...(end ? { expiresAt: end } : {}) };
  const userEmail = me.value?.email;

  const send = async () => {
    const body = { apiProductName: name, namespace, planTier: tier, ...optional, ...(userEmail ? { userEmail } : {}) };
    await call("POST", `${BASE}/requests`, { body, id });
    succeeded(
      isAutomatic
        ? "Request submitted successfully. Your key is being made."
        : "Request submitted successfully. Pending API owner approval.",
    );
    onClose();
  };
  const manifest = () =>
    applied(
      "create",
      "APIKey",
      { name: `${name}-${id.slice(0, 8)}`, namespace },
      { apiProductRef: { name }, planTier: tier, ...optional, requestedBy: { userId: me.value?.user, email: userEmail } },
    );
  return (
    <Dialog
      title={`Request access to ${product.spec.displayName}`}
      action="Submit request"
      isDisabled={!isValid}
      kubectl={isValid ? manifest() : undefined}
      onSubmit={send}
      onClose={onClose}
    >
      <p class="note calm">
        <Icon name={isAutomatic ? "check" : "clock"} />
        <span>
          {isAutomatic
            ? "Requests for this API are approved at once."
            : "Your request will be reviewed by an API owner before access is granted."}
        </span>
      </p>
      <Radios
        label="Tier *"
        value={tier}
        onChange={setTier}
        options={plans.map((plan) => [plan.tier, plan.tier])}
        notes={Object.fromEntries(plans.map((plan) => [plan.tier, limitText(plan.limits)]))}
      />
      <Field label="Use case (optional)" value={useCase} onChange={setUseCase} rows={3} hint="What you want to build helps the owner to decide." />
      <ExpiryChoice expiry={expiry} onChange={setExpiry} />
    </Dialog>
  );
}
