// The page of one key.
import { useEffect, useState } from "preact/hooks";
import { at } from "./api";
import { ConditionChip, Ends, PhaseChip } from "./chips";
import { Kubectl } from "./copy";
import { Examples } from "./example-tabs";
import { Icon } from "./icons";
import { KeyDialog, type KeyAct } from "./key-dialogs";
import { KeyMenu } from "./keys-tab";
import { revealed } from "./kubectl";
import { limitLines } from "./limits";
import { now } from "./now";
import { ContactCard, Fact } from "./overview";
import { phaseOf } from "./phases";
import { markReady } from "./ready";
import { useResource } from "./resource";
import { go, Link, pageOf } from "./route";
import { SecretField, useSecret } from "./secret";
import { me } from "./session";
import { Failure, Outdated, Skeleton } from "./states";
import type { Key, Product } from "./types";
import { timeText } from "./when";

export function KeyPage({ ns, name }: { ns: string; name: string }) {
  const { data, problem, reload } = useResource<Key>(at("requests", ns, name), { kinds: ["keys"], only: { namespace: ns, name } });
  useEffect(() => {
    if (data || problem) markReady();
  }, [data, problem]);
  if (!data && problem) return <Failure problem={problem} onRetry={reload} />;
  if (!data) return <Skeleton lines={8} />;
  return (
    <>
      {problem && <Outdated problem={problem} onRetry={reload} />}
      <Loaded of={data} reload={reload} />
    </>
  );
}

function Loaded({ of, reload }: { of: Key; reload: () => void }) {
  const [act, setAct] = useState<KeyAct>();
  const { metadata, spec } = of;
  const product = useResource<Product>(at("apiproducts", metadata.namespace, spec.apiProductRef.name), { kinds: ["products"] });
  const secret = useSecret(of);
  const isApproved = phaseOf(of, now.value) === "Approved";
  const isMine = of.spec.requestedBy.userId === me.value?.user;
  const done = () => (act?.kind === "delete" ? go("/keys") : reload());
  return (
    <article class="stack">
      <header class="product-head">
        <p class="crumbs">
          <Link to="/keys">My keys</Link> <Icon name="arrow" /> <span class="wrap">{metadata.name}</span>
        </p>
        <div class="row top product-row">
          <div class="grow">
            <h1>
              {product.data?.spec.displayName ?? spec.apiProductRef.name} · {spec.planTier}
            </h1>
            <p class="chips">
              <PhaseChip of={of} now={now.value} /> <Ends of={of} now={now.value} />
            </p>
          </div>
          <div class="row">
            <Link class="button plain" to={pageOf("products", metadata.namespace, spec.apiProductRef.name)}>
              View API
            </Link>
            <KeyMenu of={of} onAct={setAct} hasLink={false} />
          </div>
        </div>
      </header>
      <Verdict of={of} />
      <div class="columns">
        <div class="stack">
          {isApproved && (
            <section class="card stack" aria-labelledby="api-key">
              <h2 id="api-key">API key</h2>
              {isMine ? <SecretField of={of} secret={secret} /> : <p class="soft">Only who asked for this key sees its value.</p>}
              <Overlap of={of} />
              <div class="row">
                <button class="plain" type="button" onClick={() => setAct({ kind: "rotate", key: of })}>
                  <Icon name="reload" /> Rotate
                </button>
              </div>
              {isMine && <Kubectl text={revealed(of)} />}
            </section>
          )}
          {isApproved && (
            <section class="card stack" aria-labelledby="examples">
              <h2 id="examples">Usage examples</h2>
              <Examples of={of} secret={secret.value} />
            </section>
          )}
          <section class="card" aria-labelledby="use-case">
            <h2 id="use-case">Use case</h2>
            <p class="wrap">{spec.useCase || <span class="soft">None given</span>}</p>
          </section>
          <KeyConditions of={of} />
        </div>
        <div class="stack">
          <Details of={of} />
          {product.data && <ContactCard product={product.data} />}
        </div>
      </div>
      {act && <KeyDialog act={act} onClose={() => setAct(undefined)} onDone={done} />}
    </article>
  );
}

function Verdict({ of }: { of: Key }) {
  const phase = phaseOf(of, now.value);
  if (phase !== "Rejected" && phase !== "Expired") return null;
  const text = phase === "Expired" ? "This key has expired." : `This request was rejected: ${of.status?.reason || "no reason was given"}.`;
  return (
    <p class={`note ${phase === "Rejected" ? "bad" : "warn"}`}>
      <Icon name="alert" />
      <span>
        {text}{" "}
        <Link to={pageOf("products", of.metadata.namespace, of.spec.apiProductRef.name)}>Request a new API key</Link>
      </span>
    </p>
  );
}

function Overlap({ of }: { of: Key }) {
  const until = of.status?.previousSecretRef?.expiresAt;
  if (!until) return null;
  return (
    <p class="note calm">
      <Icon name="clock" />
      <span>This is the new value. The one before it works until {timeText(until)}.</span>
    </p>
  );
}

function Details({ of }: { of: Key }) {
  const { metadata, spec, status } = of;
  const limits = limitLines(status?.limits);
  return (
    <section class="card" aria-labelledby="details">
      <h2 id="details">API key details</h2>
      <dl class="facts">
        <Fact name="API product">{`${metadata.namespace}/${spec.apiProductRef.name}`}</Fact>
        <Fact name="Tier">{spec.planTier}</Fact>
        <Fact name="Rate limits">{limits.length ? limits.map((line) => <span class="block">{line}</span>) : "No limit"}</Fact>
        {status?.apiHostname && <Fact name="Host">{status.apiHostname}</Fact>}
        <Fact name="Requester">{spec.requestedBy.userId}</Fact>
        <Fact name="Requested">{timeText(metadata.creationTimestamp)}</Fact>
        {status?.reviewedAt && <Fact name="Reviewed">{timeText(status.reviewedAt)}</Fact>}
        {status?.reviewedBy && <Fact name="Reviewed by">{status.reviewedBy === "system" ? "Automatic" : status.reviewedBy}</Fact>}
        {status?.reason && <Fact name="Reason">{status.reason}</Fact>}
        <Fact name="Expires">
          <Ends of={of} now={now.value} />
        </Fact>
      </dl>
    </section>
  );
}

/** What the controller says, where it is not simply done. */
function KeyConditions({ of }: { of: Key }) {
  const told = (of.status?.conditions ?? []).filter((one) => one.reason !== "SecretCreated" && one.message);
  if (!told.length) return null;
  return (
    <section class="card" aria-labelledby="state">
      <h2 id="state">State</h2>
      <ul class="links">
        {told.map((one) => (
          <li key={one.type}>
            <ConditionChip of={one} /> <span class="wrap">{one.message}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
