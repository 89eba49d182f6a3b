// One request to the API, sent by the server with the caller's key.
import { useState } from "preact/hooks";
import { BASE, call, cure, Problem } from "./api";
import { announce } from "./announce";
import { Chip } from "./chips";
import { Code } from "./copy";
import { useApiIndex } from "./definition";
import { Choice, Field } from "./fields";
import { Icon } from "./icons";
import { HostChoice, useHost, type Host } from "./host-choice";
import { now } from "./now";
import { operationPath } from "./operation";
import { phaseOf } from "./phases";
import { useResource } from "./resource";
import { query, setQuery } from "./route";
import { parsedHeaders, pretty, filledPath } from "./try-parts";
import { idOf, type Key, type List, type Operation, type OperationLine, type Product, type Tried } from "./types";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((one) => [one, one] as const);

export function TryIt({ product }: { product: Product }) {
  const { data } = useApiIndex(product);
  const operations = (data?.tags ?? []).flatMap((tag) => tag.operations);
  const chosen = operations.find((operation) => operation.id === query.value.get("op"));
  const host = useHost(product.hostnames ?? []);
  return (
    <div class="columns even">
      <Request key={chosen?.id ?? ""} {...{ product, operations, chosen, host }} />
    </div>
  );
}

interface RequestProps {
  product: Product;
  operations: OperationLine[];
  chosen: OperationLine | undefined;
  host: Host;
}

function Request({ product, operations, chosen, host }: RequestProps) {
  const { namespace, name } = product.metadata;
  const details = useResource<Operation>(chosen ? operationPath(product, chosen.id) : null, { kinds: [] });
  const asked = new URLSearchParams({ apiProductName: name, namespace, status: "Approved", pageSize: "500" });
  const mine = useResource<List<Key>>(`${BASE}/requests/my?${asked}`, { kinds: ["keys"] });
  const keys = (mine.data?.items ?? []).filter((key) => phaseOf(key, now.value) === "Approved");
  const [method, setMethod] = useState(chosen?.method.toUpperCase() ?? "GET");
  const [path, setPath] = useState(chosen?.path ?? "/");
  const [values, setValues] = useState<Record<string, string>>({});
  const [headers, setHeaders] = useState("");
  const [body, setBody] = useState("");
  const [keyId, setKeyId] = useState<string>();
  const key = keys.find((one) => idOf(one) === (keyId ?? (keys[0] && idOf(keys[0]))));
  const parameters = (details.data?.parameters ?? []).filter((one) => one.in === "path" || one.in === "query");
  const { answer, problem, isBusy, send } = useTry();
  const submit = (event: Event) => {
    event.preventDefault();
    void send({
      namespace,
      name,
      ...(host.value ? { host: host.value } : {}),
      ...(key ? { key: { namespace: key.metadata.namespace, name: key.metadata.name } } : {}),
      method,
      ...filledPath(path, values, parameters),
      headers: parsedHeaders(headers),
      ...(body && method !== "GET" && method !== "HEAD" ? { body } : {}),
    });
  };
  return (
    <>
      <form class="card stack" onSubmit={submit} aria-labelledby="try-title">
        <h2 id="try-title">Request</h2>
        <p class="soft">The portal sends it to the API and puts your key in; the key does not come to this page.</p>
        {operations.length > 0 && (
          <Choice
            label="Operation"
            value={chosen?.id ?? ""}
            options={[["", "Free choice"], ...operations.map((one) => [one.id, `${one.method.toUpperCase()} ${one.path}`] as const)]}
            onChange={(op) => setQuery({ op })}
          />
        )}
        <Choice
          label="API key"
          value={keyId ?? (keys[0] ? idOf(keys[0]) : "")}
          options={[...keys.map((one) => [idOf(one), `${one.metadata.name} (${one.spec.planTier})`] as const), ["", "None"]]}
          onChange={setKeyId}
          {...(keys.length ? {} : { hint: "You have no approved key of this API: request one on the tab API keys." })}
        />
        <HostChoice {...host} />
        <div class="method-path">
          <Choice label="Method" value={method} options={METHODS} onChange={setMethod} />
          <Field label="Path" value={path} onChange={setPath} isRequired problem={path.startsWith("/") ? undefined : "Must begin with /"} />
        </div>
        {parameters.map((one) => (
          <Field
            key={`${one.in} ${one.name}`}
            label={`${one.name} (${one.in})`}
            isRequired={one.required === true}
            value={values[one.name] ?? ""}
            onChange={(value) => setValues({ ...values, [one.name]: value })}
          />
        ))}
        <Field label="Headers" value={headers} onChange={setHeaders} rows={2} hint="One per line: Name: value" />
        {method !== "GET" && method !== "HEAD" && <Field label="Body" value={body} onChange={setBody} rows={6} />}
        <div>
          <button class="main" type="submit" disabled={isBusy || !path.startsWith("/") || host.problem !== undefined}>
            {isBusy ? "Waiting…" : "Send request"}
          </button>
        </div>
      </form>
      <section class="card stack" aria-labelledby="answer-title">
        <h2 id="answer-title">Response</h2>
        {problem && (
          <p class="note bad">
            <Icon name="alert" />
            <span>
              {problem.message} <span class="soft">{cure(problem.status)}</span>
            </span>
          </p>
        )}
        {!problem && !answer && <p class="soft">Nothing sent yet.</p>}
        {answer && <Answer answer={answer} />}
      </section>
    </>
  );
}

function useTry() {
  const [answer, setAnswer] = useState<Tried>();
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const send = async (body: unknown) => {
    setBusy(true);
    setProblem(undefined);
    setAnswer(undefined);
    try {
      const tried = await call<Tried>("POST", `${BASE}/try`, { body });
      setAnswer(tried);
      announce(`The API answered with status ${tried.status}`);
    } catch (error) {
      const found = error instanceof Problem ? error : new Problem(0, String(error));
      setProblem(found);
      announce(found.message, true);
    }
    setBusy(false);
  };
  return { answer, problem, isBusy, send };
}

function Answer({ answer }: { answer: Tried }) {
  const isGood = answer.status < 400;
  return (
    <>
      <p class="row">
        <Chip tone={isGood ? "good" : "bad"}>{answer.status}</Chip>
        {answer.tookMs !== undefined && <span class="soft">{`${Math.round(answer.tookMs)} ms`}</span>}
        {answer.truncated && <Chip tone="warn">cut off at 1 MiB</Chip>}
      </p>
      <Code text={pretty(answer.body) || "(empty)"} label="body" />
      <details>
        <summary>{`${answer.headers.length} headers`}</summary>
        <Code text={answer.headers.map(([name, value]) => `${name}: ${value}`).join("\n")} label="headers" />
      </details>
    </>
  );
}
