// The form of a product, for a new one and for one that is changed.
import type { ComponentChildren } from "preact";
import { lifecycleOf } from "./chips";
import { Choice, Field, Radios, Tags } from "./fields";
import { PolicyCards } from "./policies";
import { RoutePicker } from "./route-picker";
import type { Product, ProductSpec } from "./types";
import { emailProblem, urlProblem } from "./validation";

export interface Form {
  displayName: string;
  description: string;
  version: string;
  tags: string[];
  openAPISpecURL: string;
  docsURL: string;
  team: string;
  email: string;
  slack: string;
  namespace: string;
  route: string;
  lifecycle: string;
  publishStatus: "Draft" | "Published";
  approvalMode: "manual" | "automatic";
}

export const emptyForm: Form = {
  displayName: "",
  description: "",
  version: "v1",
  tags: [],
  openAPISpecURL: "",
  docsURL: "",
  team: "",
  email: "",
  slack: "",
  namespace: "",
  route: "",
  lifecycle: "production",
  publishStatus: "Published",
  approvalMode: "manual",
};

export function formOf(product: Product): Form {
  const { spec, metadata } = product;
  return {
    displayName: spec.displayName,
    description: spec.description ?? "",
    version: spec.version ?? "",
    tags: spec.tags ?? [],
    openAPISpecURL: spec.documentation?.openAPISpecURL ?? "",
    docsURL: spec.documentation?.docsURL ?? "",
    team: spec.contact?.team ?? "",
    email: spec.contact?.email ?? "",
    slack: spec.contact?.slack ?? "",
    namespace: metadata.namespace,
    route: spec.targetRef.name,
    lifecycle: lifecycleOf(product),
    publishStatus: spec.publishStatus ?? "Draft",
    approvalMode: spec.approvalMode ?? "manual",
  };
}

/** What of the form keeps it from being sent. */
export function formProblem(form: Form): string | undefined {
  if (!form.displayName.trim()) return "API product name is required";
  if (!form.description.trim()) return "Description is required";
  if (!form.version.trim()) return "Version is required";
  if (!form.route) return "HTTPRoute is required";
  if (form.lifecycle === "retired" && form.publishStatus === "Published") {
    return "Cannot publish a retired API product. Please change the lifecycle status first.";
  }
  return urlProblem(form.openAPISpecURL) ?? urlProblem(form.docsURL) ?? emailProblem(form.email);
}

export function specOf(form: Form, isManifest = false): ProductSpec {
  const set = <T extends object>(fields: T) =>
    Object.fromEntries(Object.entries(fields).filter(([, value]) => value)) as Partial<T>;
  const targetRef = { group: "gateway.networking.k8s.io", kind: "HTTPRoute", name: form.route };
  return {
    displayName: form.displayName.trim(),
    description: form.description.trim(),
    version: form.version.trim(),
    approvalMode: form.approvalMode,
    publishStatus: form.publishStatus,
    tags: form.tags,
    targetRef: isManifest ? targetRef : { ...targetRef, namespace: form.namespace },
    documentation: set({ openAPISpecURL: form.openAPISpecURL, docsURL: form.docsURL }),
    contact: set({ team: form.team, email: form.email, slack: form.slack }),
  };
}

const IN_DOCUMENTATION = ["openAPISpecURL", "docsURL"] as const;
const IN_CONTACT = ["team", "email", "slack"] as const;
const IN_SPEC = ["displayName", "description", "version", "publishStatus", "approvalMode"] as const;

/** Only what differs; null removes what was cleared. */
export function patchOf(before: Form, after: Form): object {
  const changed = (names: readonly (keyof Form)[]) =>
    Object.fromEntries(names.filter((name) => before[name] !== after[name]).map((name) => [name, after[name] || null]));
  const nested = (name: string, fields: object) => (Object.keys(fields).length ? { [name]: fields } : {});
  const isRelabelled = before.lifecycle !== after.lifecycle;
  return {
    ...(isRelabelled ? { metadata: { labels: { lifecycle: after.lifecycle } } } : {}),
    spec: {
      ...changed(IN_SPEC),
      ...(before.tags.join("\n") === after.tags.join("\n") ? {} : { tags: after.tags }),
      ...nested("documentation", changed(IN_DOCUMENTATION)),
      ...nested("contact", changed(IN_CONTACT)),
    },
  };
}

interface FormProps {
  form: Form;
  onChange: (form: Form) => void;
  /** The product as it is, whose route cannot be chosen any more. */
  product?: Product;
  children: ComponentChildren;
}

export function ProductForm({ form, onChange, product, children }: FormProps) {
  const set = (name: keyof Form) => (value: string) => onChange({ ...form, [name]: value });
  const need = (text: string, what: string) => (text.trim() ? undefined : `${what} is required`);
  const text = (name: "displayName" | "description" | "version" | "team" | "slack") => ({ value: form[name], onChange: set(name) });
  return (
    <>
      <fieldset class="section">
        <legend>API product</legend>
        <div class="two">
          <Field label="API product name" {...text("displayName")} isRequired problem={need(form.displayName, "API product name")} />
          <Field label="Version" {...text("version")} isRequired problem={need(form.version, "Version")} />
        </div>
        {children}
        <Field label="Description" {...text("description")} rows={3} isRequired problem={need(form.description, "Description")} />
        <Tags tags={form.tags} onChange={(tags) => onChange({ ...form, tags })} />
      </fieldset>
      <fieldset class="section">
        <legend>Route and documents</legend>
        {product ? (
          <>
            <Field label="HTTPRoute" value={`${form.namespace}/${product.spec.targetRef.name}`} isReadOnly onChange={() => undefined} />
            <PolicyCards product={product} level={3} />
          </>
        ) : (
          <RoutePicker
            chosen={form.route ? `${form.namespace}/${form.route}` : ""}
            onChoose={(namespace, name) => onChange({ ...form, namespace, route: name })}
          />
        )}
        <div class="two">
          <Field label="OpenAPI spec URL" type="url" value={form.openAPISpecURL} onChange={set("openAPISpecURL")} problem={urlProblem(form.openAPISpecURL)} />
          <Field label="Documentation URL" type="url" value={form.docsURL} onChange={set("docsURL")} problem={urlProblem(form.docsURL)} />
        </div>
      </fieldset>
      <fieldset class="section">
        <legend>Contact</legend>
        <div class="two">
          <Field label="Team" {...text("team")} />
          <Field label="Email" type="email" value={form.email} onChange={set("email")} problem={emailProblem(form.email)} />
        </div>
        <Field label="Slack" {...text("slack")} />
      </fieldset>
      <fieldset class="section">
        <legend>Lifecycle and visibility</legend>
        <div class="two">
          <Choice label="Lifecycle" value={form.lifecycle} onChange={set("lifecycle")} options={LIFECYCLES} />
          <Choice label="Publish status" value={form.publishStatus} onChange={set("publishStatus")} options={PUBLISHED} />
        </div>
        {form.lifecycle === "retired" && form.publishStatus === "Published" && (
          <p class="hint bad-text">Cannot publish a retired API product. Please change the lifecycle status first.</p>
        )}
        <Radios label="API key approval" value={form.approvalMode} onChange={set("approvalMode")} options={APPROVALS} notes={NOTES} />
      </fieldset>
    </>
  );
}

const LIFECYCLES = ["experimental", "production", "deprecated", "retired"].map((one) => [one, one] as const);
const PUBLISHED = [
  ["Published", "Published: in the catalog"],
  ["Draft", "Draft: only you see it"],
] as const;
const APPROVALS = [
  ["manual", "Need manual approval"],
  ["automatic", "Automatic"],
] as const;
const NOTES = { manual: "You decide about each request.", automatic: "Everybody who asks gets a key at once." };
