// One operation of an OpenAPI document.
import { at } from "./api";
import { Chip } from "./chips";
import { Code } from "./copy";
import { Method, Prose } from "./definition";
import { useResource } from "./resource";
import { go } from "./route";
import { SchemaTree, typeText } from "./schema";
import { me } from "./session";
import { Failure, Skeleton } from "./states";
import type { Content, Operation, OperationLine, Product } from "./types";

export function operationPath(product: Product, id: string): string {
  const { namespace, name } = product.metadata;
  return at("apiproducts", namespace, name, "openapi", "operations", id);
}

export function OperationView({ product, line }: { product: Product; line: OperationLine }) {
  const { data, problem, reload } = useResource<Operation>(operationPath(product, line.id), { kinds: [] });
  return (
    <div class="stack">
      <header>
        <h3 class="op-title wrap">
          <Method name={line.method} /> <code>{line.path}</code>
        </h3>
        <p>
          {line.summary} {line.deprecated && <Chip tone="warn">deprecated</Chip>}
        </p>
        {me.value?.features.tryIt && (
          <button class="quiet" type="button" onClick={() => go(`?op=${encodeURIComponent(line.id)}#try`)}>
            Try this operation
          </button>
        )}
      </header>
      {!data && problem && <Failure problem={problem} onRetry={reload} />}
      {!data && !problem && <Skeleton lines={6} />}
      {data && <Details operation={data} />}
    </div>
  );
}

function Details({ operation }: { operation: Operation }) {
  const { description, parameters = [], requestBody, responses = [] } = operation;
  return (
    <>
      <Prose html={description} />
      {parameters.length > 0 && <Parameters parameters={parameters} />}
      {requestBody && (
        <section class="stack tight" aria-label="Request body">
          <h4>
            Request body {requestBody.required && <Chip>required</Chip>}
          </h4>
          <Prose html={requestBody.description} />
          <Contents contents={requestBody.content ?? []} />
        </section>
      )}
      {responses.length > 0 && (
        <section class="stack tight" aria-label="Responses">
          <h4>Responses</h4>
          {responses.map((response) => (
            <details key={response.status} class="response" open={/^2/.test(response.status)}>
              <summary>
                <Chip tone={/^[23]/.test(response.status) ? "good" : /^[45]/.test(response.status) ? "bad" : "plain"}>{response.status}</Chip>
                <Prose html={response.description} />
              </summary>
              <Contents contents={response.content ?? []} />
            </details>
          ))}
        </section>
      )}
    </>
  );
}

function Parameters({ parameters }: { parameters: NonNullable<Operation["parameters"]> }) {
  return (
    <section aria-label="Parameters">
      <h4>Parameters</h4>
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">In</th>
            <th scope="col">Type</th>
            <th scope="col">Description</th>
          </tr>
        </thead>
        <tbody>
          {parameters.map((one) => (
            <tr key={`${one.in} ${one.name}`}>
              <td data-label="Name">
                <code class="wrap">{one.name}</code> {one.required && <span class="bad-text small">required</span>}
              </td>
              <td data-label="In">{one.in}</td>
              <td data-label="Type">{one.schema ? typeText(one.schema) : "–"}</td>
              <td data-label="Description">
                <Prose html={one.description} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Contents({ contents }: { contents: Content[] }) {
  return (
    <>
      {contents.map(({ type, schema, example }) => (
        <div key={type} class="stack tight">
          <p class="soft small">{type}</p>
          {schema && <SchemaTree schema={schema} />}
          {example !== undefined && (
            <Code text={typeof example === "string" ? example : JSON.stringify(example, null, 2)} label={`example of ${type}`} />
          )}
        </div>
      ))}
    </>
  );
}
