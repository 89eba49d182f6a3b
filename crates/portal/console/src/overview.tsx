// The first tab of a product: plans, use, documents, contact, and how to sign in.
import type { ComponentChildren } from "preact";
import { at } from "./api";
import { Code } from "./copy";
import { tokenExample } from "./examples";
import { Icon } from "./icons";
import { limitLines } from "./limits";
import { authOf, condition } from "./phases";
import { useResource } from "./resource";
import { Chip } from "./chips";
import { me } from "./session";
import type { Product, Usage } from "./types";
import { UsageCard } from "./usage";
import { isWeb } from "./validation";

export function Overview({ product }: { product: Product }) {
  const { oidc } = authOf(product);
  return (
    <div class="columns">
      <div class="stack">
        <OpenApiAlert product={product} />
        <Plans product={product} />
        {(me.value?.features.usage || product.can?.includes("update")) && <UsedPlans product={product} />}
        {oidc && <OidcCard product={product} />}
      </div>
      <div class="stack">
        <Facts product={product} />
        <Documents product={product} />
        <ContactCard product={product} />
      </div>
    </div>
  );
}

function OpenApiAlert({ product }: { product: Product }) {
  const found = condition(product, "OpenAPISpecReady");
  if (found?.status !== "False") return null;
  const url = product.spec.documentation?.openAPISpecURL;
  return (
    <div class="note warn">
      <Icon name="alert" />
      <div>
        <p class="strong">OpenAPI spec issue</p>
        <p class="wrap">{found.message}</p>
        {isWeb(url) && <Outside to={url}>Spec URL</Outside>}
      </div>
    </div>
  );
}

function Plans({ product }: { product: Product }) {
  const plans = product.status?.discoveredPlans ?? [];
  return (
    <section class="card" aria-labelledby="plans">
      <h2 id="plans">Plans</h2>
      {plans.length === 0 && <p class="soft">{condition(product, "PlanPolicyDiscovered")?.message ?? "No plans available"}</p>}
      <ul class="plans">
        {plans.map((plan) => (
          <li key={plan.tier} class="plan">
            <span class="strong">{plan.tier}</span>
            {(limitLines(plan.limits).length ? limitLines(plan.limits) : ["No limit"]).map((line) => (
              <span key={line} class="soft">
                {line}
              </span>
            ))}
          </li>
        ))}
      </ul>
    </section>
  );
}

function UsedPlans({ product }: { product: Product }) {
  const { namespace, name } = product.metadata;
  const usage = useResource<Usage>(at("apiproducts", namespace, name, "usage"), { kinds: [] });
  return <UsageCard usage={usage} />;
}

/** Where a token comes from, for APIs that take one. */
export function OidcCard({ product }: { product: Product }) {
  const { issuer } = authOf(product);
  const endpoint = product.status?.oidcDiscovery?.tokenEndpoint;
  const target = endpoint ?? issuer;
  return (
    <section class="card stack" aria-labelledby="oidc">
      <h2 id="oidc">OIDC Provider Discovery</h2>
      <p>This API uses OIDC authentication. Obtain a token from the identity provider below.</p>
      <dl class="facts">
        <dt>Identity Provider</dt>
        <dd class="wrap">{issuer ? <Outside to={issuer}>{issuer}</Outside> : "The AuthPolicy names none"}</dd>
        {endpoint && (
          <>
            <dt>Token Endpoint</dt>
            <dd class="wrap">
              <Outside to={endpoint}>{endpoint}</Outside>
            </dd>
          </>
        )}
      </dl>
      {!endpoint && <p class="soft">{condition(product, "OIDCDiscovered")?.message}</p>}
      {target && <Code text={tokenExample(target)} label="example of a token request" />}
    </section>
  );
}

function Facts({ product }: { product: Product }) {
  const { spec, metadata } = product;
  const owner = metadata.annotations?.["backstage.io/owner"];
  return (
    <section class="card" aria-labelledby="facts">
      <h2 id="facts">About</h2>
      <dl class="facts">
        <Fact name="Namespace">{metadata.namespace}</Fact>
        <Fact name="Resource name">{metadata.name}</Fact>
        <Fact name="Route">{spec.targetRef.name}</Fact>
        {product.hostnames && <Hostnames names={product.hostnames} />}
        {authOf(product).apiKey && (
          <Fact name="API key approval">{spec.approvalMode === "automatic" ? "Automatic" : "Need manual approval"}</Fact>
        )}
        {owner && <Fact name="Owner">{owner}</Fact>}
        {(spec.tags ?? []).length > 0 && (
          <Fact name="Tags">
            <span class="chips">
              {spec.tags?.map((tag) => (
                <Chip key={tag} tone="accent">
                  {tag}
                </Chip>
              ))}
            </span>
          </Fact>
        )}
      </dl>
    </section>
  );
}

function Hostnames({ names }: { names: string[] }) {
  const all = names.map((name) => (
    <span key={name} class="block">
      {name}
    </span>
  ));
  return <Fact name={names.length > 1 ? "Hostnames" : "Hostname"}>{names.length ? all : "Those of its Gateway"}</Fact>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd class="wrap">{children}</dd>
    </>
  );
}

function Documents({ product }: { product: Product }) {
  const { docsURL, openAPISpecURL, swaggerUI, gitRepository } = product.spec.documentation ?? {};
  const links = [
    ["Documentation", docsURL],
    ["OpenAPI spec", openAPISpecURL],
    ["Swagger UI", swaggerUI],
    ["Source", gitRepository],
  ].filter(([, url]) => url) as [string, string][];
  if (!links.length) return null;
  return (
    <section class="card" aria-labelledby="documents">
      <h2 id="documents">Documentation</h2>
      <ul class="links">
        {links.map(([label, url]) => (
          <li key={label}>{isWeb(url) ? <Outside to={url}>{label}</Outside> : <span class="wrap">{`${label}: ${url}`}</span>}</li>
        ))}
      </ul>
    </section>
  );
}

export function ContactCard({ product }: { product: Product }) {
  const { team, email, slack, url } = product.spec.contact ?? {};
  if (!team && !email && !slack && !url) return null;
  return (
    <section class="card" aria-labelledby="contact">
      <h2 id="contact">Contact</h2>
      <ul class="links">
        {team && <li>{team}</li>}
        {email && (
          <li>
            <a href={`mailto:${encodeURIComponent(email)}`}>{email}</a>
          </li>
        )}
        {slack && <li>{isWeb(slack) ? <Outside to={slack}>Slack</Outside> : `Slack: ${slack}`}</li>}
        {url && <li>{isWeb(url) ? <Outside to={url}>{url}</Outside> : url}</li>}
      </ul>
    </section>
  );
}

/** A link that leaves the portal; plain text if it leads nowhere. */
export function Outside({ to, children }: { to: string; children: ComponentChildren }) {
  if (!isWeb(to)) return <span>{children}</span>;
  return (
    <a href={to} target="_blank" rel="noreferrer noopener">
      {children}
      <span class="unseen"> (opens in a new tab)</span>
    </a>
  );
}
