// The OpenAPI document of a product: its index, and one operation at a time.
import { useId, useState } from "preact/hooks";
import { at, BASE } from "./api";
import { Chip } from "./chips";
import { Code } from "./copy";
import { Icon } from "./icons";
import { OperationView } from "./operation";
import { condition } from "./phases";
import { useResource } from "./resource";
import { query, setQuery } from "./route";
import { Empty, Failure, Skeleton } from "./states";
import { Outside } from "./overview";
import type { ApiIndex, OperationLine, Product } from "./types";
import { isWeb } from "./validation";

/** Nothing is asked for while the product has no document. */
export function useApiIndex(product: Product) {
  const { namespace, name } = product.metadata;
  return useResource<ApiIndex>(product.status?.openapi ? at("apiproducts", namespace, name, "openapi") : null, { kinds: [] });
}

export function Definition({ product }: { product: Product }) {
  const { data, problem, reload } = useApiIndex(product);
  if (!product.status?.openapi || problem?.status === 404) return <NotYet product={product} />;
  if (problem) return <Failure problem={problem} onRetry={reload} />;
  if (!data) return <Skeleton lines={10} />;
  return <Document product={product} index={data} />;
}

function NotYet({ product }: { product: Product }) {
  const url = product.spec.documentation?.openAPISpecURL;
  const why = condition(product, "OpenAPISpecReady")?.message;
  return (
    <Empty picture="island" title={url ? "OpenAPI specification not yet synced" : "There is no OpenAPI specification"}>
      {why && <p class="soft wrap">{why}</p>}
      {isWeb(url) && (
        <p>
          View at: <Outside to={url}>{url}</Outside>
        </p>
      )}
      {!url && <p class="soft">The owner of the product can add its URL.</p>}
    </Empty>
  );
}

function Document({ product, index }: { product: Product; index: ApiIndex }) {
  const { namespace, name } = product.metadata;
  const all = index.tags.flatMap((tag) => tag.operations);
  const chosen = all.find((operation) => operation.id === query.value.get("op")) ?? all[0];
  return (
    <div class="stack">
      <section class="card stack" aria-label="Document">
        <div class="row top">
          <div class="grow">
            <h2>
              {index.title} {index.version && <Chip>{index.version}</Chip>}
            </h2>
            <Prose html={index.description} />
          </div>
          <a class="button plain" href={`${BASE}/apiproducts/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}/openapi/raw`} download>
            <Icon name="download" /> Download
          </a>
        </div>
        {(index.servers ?? []).map((server) => {
          const url = typeof server === "string" ? server : server.url;
          return <Code key={url} text={url} label="server address" />;
        })}
        {(index.problems ?? []).length > 0 && (
          <div class="note warn">
            <Icon name="alert" />
            <ul>
              {index.problems?.map((text) => (
                <li key={text} class="wrap">
                  {text}
                </li>
              ))}
            </ul>
          </div>
        )}
      </section>
      <div class="split">
        <Index index={index} chosen={chosen} />
        <section class="grow card" aria-label="Operation">
          {chosen ? <OperationView key={chosen.id} product={product} line={chosen} /> : <p class="soft">The document has no operations.</p>}
        </section>
      </div>
    </div>
  );
}

const MANY = 200;

function Index({ index, chosen }: { index: ApiIndex; chosen: OperationLine | undefined }) {
  const [text, setText] = useState("");
  const id = useId();
  const wanted = text.trim().toLowerCase();
  const matches = ({ method, path, summary = "" }: OperationLine) => `${method} ${path} ${summary}`.toLowerCase().includes(wanted);
  let room = MANY;
  const groups = index.tags.map((tag) => {
    const found = tag.operations.filter(matches);
    const operations = found.slice(0, room);
    room -= operations.length;
    return { tag, operations, hidden: found.length - operations.length };
  });
  const hidden = groups.reduce((sum, group) => sum + group.hidden, 0);
  return (
    <nav class="rail op-index" aria-label="Operations">
      <label class="unseen" for={id}>
        Search operations
      </label>
      <input id={id} type="search" placeholder="Search operations" value={text} onInput={(event) => setText((event.target as HTMLInputElement).value)} />
      {groups
        .filter((group) => group.operations.length)
        .map(({ tag, operations }) => (
          <section key={tag.name} aria-label={tag.name}>
            <p class="eyebrow">{tag.name}</p>
            <ul>
              {operations.map((operation) => (
                <li key={operation.id}>
                  <button
                    type="button"
                    class="op-line"
                    aria-current={operation.id === chosen?.id ? "true" : undefined}
                    onClick={() => setQuery({ op: operation.id })}
                  >
                    <Method name={operation.method} />
                    <span class={`clip ${operation.deprecated ? "struck" : ""}`}>{operation.path}</span>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        ))}
      {hidden > 0 && <p class="soft small">{`${hidden} more: search to find them.`}</p>}
    </nav>
  );
}

export function Method({ name }: { name: string }) {
  return <span class={`method ${name.toLowerCase()}`}>{name.toUpperCase()}</span>;
}

/** Text that the server has made of markdown, and cleaned. */
export function Prose({ html }: { html: string | undefined }) {
  if (!html) return null;
  return <div class="prose wrap" dangerouslySetInnerHTML={{ __html: html }} />;
}
