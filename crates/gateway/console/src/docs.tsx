// The explorer of the schema: a trail of types, and a search over the names of types and fields.
import { computed, signal } from "@preact/signals";
import {
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isUnionType,
  getNamedType,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLNamedType,
  type GraphQLSchema,
  type GraphQLType,
} from "graphql";
import { hasToken, isSchemaLoading, loadSchema, schema, schemaProblem } from "./desk";
import { Icon } from "./icons";

/** Number of results that are shown. */
const MAX_RESULTS = 80;

type Place = { type: string; field?: string | undefined };
type Found = { type: string; field?: string; lower: string };

const trail = signal<Place[]>([]);
const wanted = signal("");

export function showInDocs(type: string, field?: string): void {
  wanted.value = "";
  trail.value = [...trail.value, { type, field }];
}

/** All names, types before fields: built once for a schema. */
const index = computed<Found[]>(() => {
  const types = Object.values(schema.value?.getTypeMap() ?? {}).filter(({ name }) => !name.startsWith("__"));
  const fields = types.flatMap((type) =>
    fieldsOf(type).map(({ name }) => ({ type: type.name, field: name, lower: name.toLowerCase() })),
  );
  return [...types.map(({ name }) => ({ type: name, lower: name.toLowerCase() })), ...fields];
});

/** Names that begin with the word come before those that only have it; shorter ones first. */
const results = computed<Found[]>(() => {
  const word = wanted.value.trim().toLowerCase();
  if (word === "") return [];
  const found = index.value.filter(({ lower }) => lower.includes(word));
  const rank = ({ lower, field }: Found) => (lower.startsWith(word) ? 0 : 1000) + lower.length * 2 + (field ? 1 : 0);
  return found.sort((one, other) => rank(one) - rank(other)).slice(0, MAX_RESULTS + 1);
});

function fieldsOf(type: GraphQLNamedType): (GraphQLField<unknown, unknown> | GraphQLInputField)[] {
  const hasFields = isObjectType(type) || isInterfaceType(type) || isInputObjectType(type);
  return hasFields ? Object.values<GraphQLField<unknown, unknown> | GraphQLInputField>(type.getFields()) : [];
}

export function Docs() {
  const known = schema.value;
  return (
    <>
      <div class="search">
        <label class="unseen" for="docs-search">
          Search types and fields
        </label>
        <input
          id="docs-search"
          type="search"
          placeholder="Search types and fields"
          autocomplete="off"
          spellcheck={false}
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
        <button
          class="quiet icon"
          type="button"
          aria-label="Load the schema again"
          title="Load the schema again"
          onClick={() => void loadSchema()}
        >
          <Icon name="reload" />
        </button>
      </div>
      {!hasToken.value && <p class="hint">Enter a token of this cluster under Headers to load its schema.</p>}
      {isSchemaLoading.value && <p class="hint">Loading the schema…</p>}
      {schemaProblem.value && (
        <p class="complaint" role="alert">
          {schemaProblem.value}
        </p>
      )}
      {known && (wanted.value.trim() === "" ? <Here schema={known} /> : <Results />)}
    </>
  );
}

function Results() {
  const found = results.value;
  if (found.length === 0) return <p class="hint">Nothing is called so.</p>;
  return (
    <ul class="results" aria-label="Results">
      {found.slice(0, MAX_RESULTS).map(({ type, field }) => (
        <li key={`${type}.${field ?? ""}`}>
          <button class="entry" type="button" onClick={() => showInDocs(type, field)}>
            {field ? <span class="field">{field}</span> : <span class="type">{type}</span>}
            {field && <span class="of">of {type}</span>}
          </button>
        </li>
      ))}
      {found.length > MAX_RESULTS && <li class="hint">There are more: type more of the name.</li>}
    </ul>
  );
}

function Here({ schema }: { schema: GraphQLSchema }) {
  const place = trail.value.at(-1);
  const type = place && schema.getType(place.type);
  if (!type) return <Roots schema={schema} />;
  const before = trail.value.at(-2);
  return (
    <article class="doc">
      <button class="quiet back" type="button" onClick={() => (trail.value = trail.value.slice(0, -1))}>
        <Icon name="back" />
        {before ? before.type : "All operations"}
      </button>
      <TypeDoc type={type} marked={place.field} />
    </article>
  );
}

function Roots({ schema }: { schema: GraphQLSchema }) {
  const roots = [
    ["Queries", schema.getQueryType()],
    ["Mutations", schema.getMutationType()],
    ["Subscriptions", schema.getSubscriptionType()],
  ] as const;
  return (
    <article class="doc">
      {roots.map(
        ([name, type]) =>
          type && (
            <p class="root" key={name}>
              <span class="kind">{name}</span>
              <TypeLink type={type} />
            </p>
          ),
      )}
      <p class="hint">
        {Object.keys(schema.getTypeMap()).length.toLocaleString()} types. In the editor, Ctrl-click opens a name here.
      </p>
    </article>
  );
}

function TypeDoc({ type, marked }: { type: GraphQLNamedType; marked: string | undefined }) {
  const fields = fieldsOf(type);
  return (
    <>
      <h3 class="type">{type.name}</h3>
      <p class="kind">{kindOf(type)}</p>
      {type.description && <p class="description">{type.description}</p>}
      {fields.length > 0 && (
        <ul class="fields">
          {fields.map((field) => (
            <FieldDoc key={field.name} field={field} isMarked={field.name === marked} />
          ))}
        </ul>
      )}
      {isEnumType(type) && (
        <ul class="fields">
          {type.getValues().map(({ name, description }) => (
            <li key={name}>
              <code>{name}</code>
              {description && <p class="description">{description}</p>}
            </li>
          ))}
        </ul>
      )}
      {isUnionType(type) && (
        <ul class="fields">
          {type.getTypes().map((one) => (
            <li key={one.name}>
              <TypeLink type={one} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function FieldDoc({ field, isMarked }: { field: GraphQLField<unknown, unknown> | GraphQLInputField; isMarked: boolean }) {
  const given: readonly GraphQLArgument[] = "args" in field ? field.args : [];
  return (
    <li
      class={isMarked ? "marked" : ""}
      ref={(element) => void (isMarked && element?.scrollIntoView({ block: "nearest" }))}
    >
      <code>
        <span class="field">{field.name}</span>
        {given.length > 0 && (
          <span class="arguments">
            (
            {given.map((argument) => (
              <span class="argument" key={argument.name} title={argument.description ?? ""}>
                {argument.name}: <TypeLink type={argument.type} />
              </span>
            ))}
            )
          </span>
        )}
        : <TypeLink type={field.type} />
      </code>
      {field.deprecationReason && <p class="description">Deprecated: {field.deprecationReason}</p>}
      {field.description && <p class="description">{field.description}</p>}
    </li>
  );
}

function TypeLink({ type }: { type: GraphQLType }) {
  const { name } = getNamedType(type);
  return (
    <button class="link type" type="button" onClick={() => showInDocs(name)}>
      {String(type)}
    </button>
  );
}

function kindOf(type: GraphQLNamedType): string {
  if (isObjectType(type)) return "Object";
  if (isInputObjectType(type)) return "Input";
  if (isEnumType(type)) return "Enum";
  if (isUnionType(type)) return "Union";
  return isInterfaceType(type) ? "Interface" : "Scalar";
}
