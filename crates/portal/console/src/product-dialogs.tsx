// Dialogs about products: create, edit, publish, delete.
import { useMemo, useState } from "preact/hooks";
import { at, BASE, call } from "./api";
import { lifecycleOf } from "./chips";
import { Dialog } from "./dialog";
import { Field } from "./fields";
import { Icon } from "./icons";
import { applied, deleted, patched } from "./kubectl";
import { emptyForm, formOf, formProblem, patchOf, ProductForm, specOf, type Form } from "./product-form";
import { useResource } from "./resource";
import { me } from "./session";
import { Failure } from "./states";
import { succeeded } from "./toasts";
import type { Product } from "./types";
import { nameProblem, slug } from "./validation";

interface Parts {
  product: Product;
  onClose: () => void;
  onDone: () => void;
}

export function CreateDialog({ onClose, onDone }: Omit<Parts, "product">) {
  const [form, setForm] = useState<Form>(emptyForm);
  const [typedName, setTypedName] = useState<string>();
  const id = useMemo(() => crypto.randomUUID(), []);
  const name = typedName ?? slug(form.displayName, id.slice(0, 6));
  const metadata = { name, namespace: form.namespace, annotations: { "backstage.io/owner": me.value?.user ?? "" }, labels: { lifecycle: form.lifecycle } };
  const problem = formProblem(form) ?? nameProblem(name);
  const create = async () => {
    const body = { metadata: { name, labels: metadata.labels }, spec: specOf(form) };
    await call("POST", `${BASE}/apiproducts`, { body, id });
    succeeded(`API product “${form.displayName}” created`);
    onDone();
    onClose();
  };
  return (
    <Dialog
      title="Create API product"
      action="Create"
      isWide
      isDisabled={problem !== undefined}
      kubectl={problem ? undefined : applied("apply", "APIProduct", metadata, specOf(form, true))}
      onSubmit={create}
      onClose={onClose}
    >
      <ProductForm form={form} onChange={setForm}>
        <Field
          label="Kubernetes resource name"
          value={name}
          onChange={setTypedName}
          isRequired
          problem={nameProblem(name)}
          hint="Made from the name; it cannot be changed later."
        />
      </ProductForm>
    </Dialog>
  );
}

export function EditDialog({ product, onClose, onDone }: Parts) {
  const { namespace, name } = product.metadata;
  const current = useResource<Product>(at("apiproducts", namespace, name), { kinds: ["products"] });
  if (current.data) return <LoadedEdit {...{ onClose, onDone }} product={current.data} />;
  return (
    <Dialog title={`Edit ${product.spec.displayName}`} isWide onClose={onClose}>
      {current.problem ? <Failure problem={current.problem} onRetry={current.reload} /> : <p class="soft">Loading…</p>}
    </Dialog>
  );
}

function LoadedEdit({ product, onClose, onDone }: Parts) {
  const { namespace, name } = product.metadata;
  const [before] = useState(() => formOf(product));
  const [form, setForm] = useState<Form>(before);
  const patch = patchOf(before, form);
  const problem = formProblem(form);
  const save = async () => {
    await call("PATCH", at("apiproducts", namespace, name), { body: patch });
    succeeded("API product saved");
    onDone();
    onClose();
  };
  return (
    <Dialog
      title={`Edit ${product.spec.displayName}`}
      action="Save"
      isWide
      isDisabled={problem !== undefined || JSON.stringify(before) === JSON.stringify(form)}
      kubectl={patched("APIProduct", product.metadata, patch)}
      onSubmit={save}
      onClose={onClose}
    >
      <ProductForm form={form} onChange={setForm} product={product}>
        <Field label="Kubernetes resource name" value={name} isReadOnly onChange={() => undefined} />
      </ProductForm>
    </Dialog>
  );
}

export function PublishDialog({ product, onClose, onDone }: Parts) {
  const { displayName, publishStatus } = product.spec;
  const { namespace, name } = product.metadata;
  const isPublished = publishStatus === "Published";
  const isRetired = lifecycleOf(product) === "retired" && !isPublished;
  const patch = { spec: { publishStatus: isPublished ? "Draft" : "Published" } };
  const act = async () => {
    await call("PATCH", at("apiproducts", namespace, name), { body: patch });
    succeeded(`“${displayName}” is ${isPublished ? "a draft again" : "published"}`);
    onDone();
    onClose();
  };
  const verb = isPublished ? "Unpublish" : "Publish";
  return (
    <Dialog
      title={`${verb} ${displayName}?`}
      action={verb}
      isDisabled={isRetired}
      kubectl={patched("APIProduct", product.metadata, patch)}
      onSubmit={act}
      onClose={onClose}
    >
      {isRetired ? (
        <p class="note bad">
          <Icon name="alert" />
          <span>Cannot publish a retired API product. Please change the lifecycle status first.</span>
        </p>
      ) : (
        <p>
          {isPublished
            ? "It leaves the catalog at once. Keys that exist keep working."
            : "It appears in the catalog at once, and people can ask for keys."}
        </p>
      )}
    </Dialog>
  );
}

export function DeleteDialog({ product, onClose, onDone }: Parts) {
  const { namespace, name } = product.metadata;
  const [typed, setTyped] = useState("");
  const current = useResource<Product>(at("apiproducts", namespace, name), { kinds: ["keys"], isUrgent: true });
  const keys = current.data?.keys;
  const remove = async () => {
    await call("DELETE", at("apiproducts", namespace, name));
    succeeded(`API product “${product.spec.displayName}” deleted`);
    onDone();
    onClose();
  };
  return (
    <Dialog
      title={`Delete ${product.spec.displayName}?`}
      action="Delete"
      isDangerous
      isDisabled={typed !== name}
      kubectl={deleted("apiproduct", product.metadata)}
      onSubmit={remove}
      onClose={onClose}
    >
      <div class="note bad">
        <Icon name="alert" />
        <div>
          <p>This cannot be undone. What goes with it:</p>
          <ul class="bullets">
            <li>{keys ? `${keys.total} API key(s)` : "all its API keys"}</li>
            <li>{keys ? `${keys.secrets} API key Secret(s)` : "their Secrets"}: calls with these keys fail at once</li>
          </ul>
          <p>The HTTPRoute and its policies stay.</p>
        </div>
      </div>
      <Field label={`Type ${name} to confirm`} value={typed} onChange={setTyped} />
    </Dialog>
  );
}
