// What the server answers.

export interface Meta {
  name: string;
  namespace: string;
  uid?: string;
  creationTimestamp?: string;
  resourceVersion?: string;
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
}

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
}

export interface Limits {
  daily?: number;
  weekly?: number;
  monthly?: number;
  yearly?: number;
  custom?: { limit: number; window: string }[];
}

export interface Plan {
  tier: string;
  description?: string;
  limits?: Limits;
}

export interface Credentials {
  authorizationHeader?: { prefix?: string };
  customHeader?: { name: string };
  queryString?: { name: string };
  cookie?: { name: string };
}

export interface Scheme {
  apiKey?: object;
  jwt?: { issuerUrl?: string };
  credentials?: Credentials;
}

export interface Documentation {
  openAPISpecURL?: string;
  swaggerUI?: string;
  docsURL?: string;
  gitRepository?: string;
  techdocsRef?: string;
}

export interface Contact {
  team?: string;
  email?: string;
  slack?: string;
  url?: string;
}

export interface ProductSpec {
  displayName: string;
  description?: string;
  version?: string;
  approvalMode?: "manual" | "automatic";
  publishStatus?: "Draft" | "Published";
  tags?: string[];
  targetRef: { group?: string; kind: string; name: string; namespace?: string };
  documentation?: Documentation;
  contact?: Contact;
}

export interface Product {
  metadata: Meta;
  spec: ProductSpec;
  status?: {
    discoveredPlans?: Plan[];
    discoveredAuthScheme?: { authentication?: Record<string, Scheme> };
    oidcDiscovery?: { tokenEndpoint?: string };
    openapi?: { lastSyncTime?: string };
    conditions?: Condition[];
  };
  can?: Verb[];
  keys?: { total: number; secrets: number };
  /** Those of its HTTPRoute. */
  hostnames?: string[];
}

export type Phase = "Pending" | "Approved" | "Rejected" | "Expired";

export interface Key {
  metadata: Meta;
  spec: {
    apiProductRef: { name: string };
    planTier: string;
    useCase?: string;
    requestedBy: { userId: string; email?: string };
    expiresAt?: string;
  };
  status?: {
    phase?: Phase;
    reviewedBy?: string;
    reviewedAt?: string;
    reason?: string;
    limits?: Limits;
    apiHostname?: string;
    expiresAt?: string;
    secretRef?: { name: string; key: string };
    previousSecretRef?: { name: string; key: string; expiresAt?: string };
    authScheme?: { credentials?: Credentials };
    conditions?: Condition[];
  };
  can?: Verb[];
}

export type Verb = "update" | "delete" | "approve" | "reveal";

export interface List<T> {
  items: T[];
  total: number;
  page: number;
  pageSize: number;
  facets?: Record<string, { value: string; count: number }[]>;
  can?: Record<string, Verb[]>;
}

export interface Me {
  user: string;
  name?: string;
  email?: string;
  groups: string[];
  via: "session" | "bearer";
  demo: boolean;
  csrf?: string;
  expiresAt?: string;
  /** Seconds until the session ends, and how long it may be unused. */
  expiresIn?: number;
  idleSeconds?: number;
  can: Partial<
    Record<
      | "createProducts"
      | "updateAnyProduct"
      | "deleteAnyProduct"
      | "approveAnyKey"
      | "decideKeys"
      | "requestKeys"
      | "listRoutes"
      | "listPlanPolicies"
      | "listAuthPolicies",
      boolean
    >
  >;
  features: { usage?: boolean; tryIt?: boolean };
  issuer?: string;
}

export interface Route {
  metadata: Meta;
  spec?: { hostnames?: string[] };
  ready?: boolean;
  planPolicy?: ChosenPolicy & { tiers?: string[] };
  authPolicy?: ChosenPolicy;
}

/** The policy that is in effect for a route, as the server has chosen it. */
export interface ChosenPolicy {
  name: string;
  namespace: string;
}

/** A policy of an infrastructure team. */
export interface Policy {
  metadata: { name: string; namespace: string };
  spec: { targetRef: { kind: string; name: string } };
  status?: { conditions?: Condition[] } | null;
}

export interface PlanPolicy extends Policy {
  spec: Policy["spec"] & { plans: Plan[] };
}

export interface Usage {
  available: boolean;
  why?: string;
  plans?: { tier: string; limits?: Limits; calls24h: number; limited24h: number }[];
  users?: { user: string; tier?: string; calls24h: number; limited24h: number }[];
}

export interface ApiIndex {
  title: string;
  version?: string;
  description?: string;
  servers?: (string | { url: string })[];
  tags: { name: string; description?: string; operations: OperationLine[] }[];
  schemas?: string[];
  problems?: string[];
}

export interface OperationLine {
  id: string;
  method: string;
  path: string;
  summary?: string;
  deprecated?: boolean;
}

export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  enum?: unknown[];
  properties?: { name: string; required?: boolean; schema: Schema }[];
  items?: Schema;
  oneOf?: Schema[];
  ref?: string;
}

export interface Content {
  type: string;
  schema?: Schema;
  example?: unknown;
}

export interface Operation extends OperationLine {
  description?: string;
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema?: Schema }[];
  requestBody?: { description?: string; required?: boolean; content?: Content[] };
  responses?: { status: string; description?: string; content?: Content[] }[];
  security?: unknown[];
}

export interface Tried {
  status: number;
  headers: [string, string][];
  body: string;
  truncated?: boolean;
  tookMs?: number;
}

/** The address of an object in the lists of rights. */
export function idOf(object: { metadata: Meta }): string {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** What identifies an object for as long as it exists. */
export function uidOf(object: { metadata: Meta }): string {
  return object.metadata.uid ?? idOf(object);
}

/** The last page, where a list goes on without the page that was asked for: whoever has emptied it was there. */
export function pageInstead(list: List<unknown> | undefined): number | undefined {
  if (!list || list.items.length > 0 || list.total === 0) return undefined;
  return Math.ceil(list.total / list.pageSize);
}
