// The dialog that asks for a key, for one API or for one that is picked in it.
import { useState } from "preact/hooks";
import { ApiPicker } from "./api-picker";
import { BASE, call } from "./api";
import { Dialog } from "./dialog";
import { ExpiryChoice, expiryOf, type Expiry } from "./expiry";
import { Field, Radios } from "./fields";
import { Icon } from "./icons";
import { applied } from "./kubectl";
import { limitText } from "./limits";
import { me } from "./session";
import { succeeded } from "./toasts";
import type { Plan, Product } from "./types";

interface RequestProps {
  /** The API; without it, it is picked in the dialog. */
  product?: Product;
  onClose: () => void;
  onDone?: () => void;
}

/** A plan that need not be chosen, since there is no other. */
function onlyTier(product: Product | undefined): string {
  const plans = product?.status?.discoveredPlans ?? [];
  return plans.length === 1 ? (plans[0]?.tier ?? "") : "";
}

export function RequestDialog({ product: given, onClose, onDone }: RequestProps) {
  const [picked, setPicked] = useState<Product>();
  const product = given ?? picked;
  const [tier, setTier] = useState(onlyTier(given));
  const [useCase, setUseCase] = useState("");
  const [expiry, setExpiry] = useState<Expiry>({ kind: "none" });
  // One number for this dialog: however often it is sent, there is one request.
  const [id] = useState(() => crypto.randomUUID());
  const end = expiryOf(expiry);
  const isValid = product !== undefined && tier !== "" && end !== "invalid";
  const optional = { ...(useCase.trim() ? { useCase: useCase.trim() } : {}), ...(end ? { expiresAt: end } : {}) };
  const userEmail = me.value?.email;

  const pick = (next: Product) => {
    setPicked(next);
    setTier(onlyTier(next));
  };
  const send = async () => {
    if (!product) return;
    const { name, namespace } = product.metadata;
    const body = { apiProductName: name, namespace, planTier: tier, ...optional, ...(userEmail ? { userEmail } : {}) };
    await call("POST", `${BASE}/requests`, { body, id });
    succeeded(
      isAutomatic(product)
        ? "Request submitted successfully. Your key is being made."
        : "Request submitted successfully. Pending API owner approval.",
    );
    onDone?.();
    onClose();
  };
  const manifest = ({ metadata: { name, namespace } }: Product) =>
    applied(
      "create",
      "APIKey",
      { name: `${name}-${id.slice(0, 8)}`, namespace },
      { apiProductRef: { name }, planTier: tier, ...optional, requestedBy: { userId: me.value?.user, email: userEmail } },
    );
  return (
    <Dialog
      title={`Request access to ${product ? product.spec.displayName : "an API"}`}
      action="Submit request"
      isDisabled={!isValid}
      kubectl={isValid ? manifest(product) : undefined}
      onSubmit={send}
      onClose={onClose}
    >
      {!given && <ApiPicker picked={picked} onPick={pick} />}
      {product && <Review product={product} />}
      {product && <Tiers plans={product.status?.discoveredPlans ?? []} {...{ tier, setTier }} />}
      <Field label="Use case (optional)" value={useCase} onChange={setUseCase} rows={3} hint="What you want to build helps the owner to decide." />
      <ExpiryChoice expiry={expiry} onChange={setExpiry} />
    </Dialog>
  );
}

function isAutomatic(product: Product): boolean {
  return product.spec.approvalMode === "automatic";
}

function Review({ product }: { product: Product }) {
  return (
    <p class="note calm">
      <Icon name={isAutomatic(product) ? "check" : "clock"} />
      <span>
        {isAutomatic(product)
          ? "Requests for this API are approved at once."
          : "Your request will be reviewed by an API owner before access is granted."}
      </span>
    </p>
  );
}

function Tiers({ plans, tier, setTier }: { plans: Plan[]; tier: string; setTier: (tier: string) => void }) {
  return (
    <Radios
      label="Tier *"
      value={tier}
      onChange={setTier}
      options={plans.map((plan) => [plan.tier, plan.tier])}
      notes={Object.fromEntries(plans.map((plan) => [plan.tier, limitText(plan.limits)]))}
    />
  );
}
