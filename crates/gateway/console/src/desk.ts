// The state of the console: what the user has written, what the gateway has answered, and the schema between them.
import { computed, effect, signal } from "@preact/signals";
import {
  buildClientSchema,
  getIntrospectionQuery,
  parse,
  type GraphQLSchema,
  type IntrospectionQuery,
  type OperationDefinitionNode,
} from "graphql";
import { ask, complaint, follow, type Answer, type GraphQLRequest, type Headers } from "./api";
import type { Frame } from "./frames";
import { remember } from "./history";
import { fromFragment, link } from "./share";
import { forTheTab, stored, tokenKey } from "./storage";

export const endpoint = location.pathname.replace(/\/+$/, "");
export const cluster = decodeURIComponent(endpoint.split("/").at(-2) ?? "");

const SAMPLE = `# Ctrl-Enter runs the query, Ctrl-Space completes it.
query ConfigMaps($namespace: String) {
  v1 {
    ConfigMaps(namespace: $namespace, limit: 20) {
      items {
        metadata { name namespace creationTimestamp }
      }
    }
  }
}
`;
/** Number of events that are shown. */
export const MAX_EVENTS = 200;
/** How long typing must rest before the schema is asked for with a new token, in milliseconds. */
const REST = 400;

export interface Header {
  name: string;
  value: string;
}

export interface Event extends Frame {
  number: number;
  at: Date;
}

const key = (part: string) => `portolan:${part}:${cluster}`;
const linked = fromFragment(location.hash);

export const query = stored(forTheTab, key("query"), SAMPLE);
export const variables = stored(forTheTab, key("variables"), '{\n  "namespace": "default"\n}\n');
export const token = stored(forTheTab, tokenKey(cluster), "");
export const headers = stored<Header[]>(forTheTab, key("headers"), []);
if (linked) {
  query.value = linked.query;
  variables.value = linked.variables;
}

// A fragment that says something else than the editors is gone, or the next reload would bring its text back.
effect(() => {
  const now = { query: query.value, variables: variables.value };
  if (location.hash && location.href !== link(now)) window.history.replaceState(null, "", location.pathname);
});

export const schema = signal<GraphQLSchema | undefined>(undefined);
export const schemaProblem = signal("");
export const isSchemaLoading = signal(false);
export const answer = signal<Answer | undefined>(undefined);
export const events = signal<Event[]>([]);
export const eventCount = signal(0);
export const problem = signal("");
export const running = signal<AbortController | undefined>(undefined);
export const isFollowing = signal(false);
/** What everybody is told for a moment, and what only a screen reader is, since others see it. */
export const notice = signal("");
export const spoken = signal("");

export const hasToken = computed(() => token.value.trim() !== "");

export function sentHeaders(): Headers {
  const own = headers.value.filter(({ name }) => name.trim() !== "").map(({ name, value }) => [name.trim(), value]);
  const authorization = hasToken.value ? { authorization: `Bearer ${token.value.trim()}` } : {};
  return { ...Object.fromEntries(own), ...authorization };
}

let lastLoad: AbortController | undefined;

export async function loadSchema(): Promise<void> {
  lastLoad?.abort();
  const load = (lastLoad = new AbortController());
  if (!hasToken.value) {
    schema.value = undefined;
    schemaProblem.value = "";
    return;
  }
  isSchemaLoading.value = true;
  try {
    const said = await ask(endpoint, { query: getIntrospectionQuery() }, sentHeaders(), load.signal);
    const data = said.status === 200 ? (JSON.parse(said.text).data as IntrospectionQuery | null) : null;
    schema.value = data ? buildClientSchema(data) : undefined;
    schemaProblem.value = data ? "" : `The schema could not be loaded: ${complaint(said)}.`;
    spoken.value = data ? "Schema loaded" : schemaProblem.value;
  } catch (error) {
    if (load.signal.aborted) return;
    schema.value = undefined;
    schemaProblem.value = `The schema could not be loaded: ${reason(error)}.`;
  } finally {
    if (lastLoad === load) isSchemaLoading.value = false;
  }
}

let typing = 0;
effect(() => {
  void token.value;
  clearTimeout(typing);
  typing = window.setTimeout(() => void loadSchema(), schema.peek() ? REST : 0);
});

/** The operation at an offset of the text, or the first. Nothing if the text cannot be parsed: the gateway says why. */
export function operationAt(text: string, offset: number): OperationDefinitionNode | undefined {
  try {
    const all = parse(text).definitions.filter((one) => one.kind === "OperationDefinition");
    return all.find(({ loc }) => loc && loc.start <= offset && offset <= loc.end) ?? all[0];
  } catch {
    return undefined;
  }
}

function readVariables(): Record<string, unknown> | undefined {
  const text = variables.value.trim();
  if (text === "") return undefined;
  const read: unknown = JSON.parse(text);
  if (typeof read !== "object" || read === null || Array.isArray(read)) throw new Error("they are no JSON object");
  return read as Record<string, unknown>;
}

export async function run(offset: number): Promise<void> {
  stop();
  answer.value = undefined;
  events.value = [];
  eventCount.value = 0;
  problem.value = "";
  const operation = operationAt(query.value, offset);
  const request: GraphQLRequest = { query: query.value };
  if (operation?.name) request.operationName = operation.name.value;
  try {
    const read = readVariables();
    if (read) request.variables = read;
  } catch (error) {
    problem.value = `The variables cannot be used: ${reason(error)}.`;
    return;
  }
  const controller = new AbortController();
  running.value = controller;
  isFollowing.value = operation?.operation === "subscription";
  remember({ query: query.value, variables: variables.value });
  try {
    const sent = sentHeaders();
    const said = isFollowing.value
      ? await follow(endpoint, request, sent, controller.signal, show)
      : await ask(endpoint, request, sent, controller.signal);
    if (running.value !== controller) return;
    answer.value = said;
    spoken.value = said ? `Answered with status ${said.status}` : "The subscription is complete";
  } catch (error) {
    if (running.value === controller) problem.value = `The gateway could not be asked: ${reason(error)}.`;
  } finally {
    if (running.value === controller) running.value = undefined;
  }
}

export function stop(): void {
  const controller = running.value;
  running.value = undefined;
  controller?.abort();
}

function show(frame: Frame): void {
  eventCount.value += 1;
  events.value = [{ ...frame, number: eventCount.value, at: new Date() }, ...events.value].slice(0, MAX_EVENTS);
}

export function reason(error: unknown): string {
  return error instanceof Error ? error.message.replace(/\.$/, "") : String(error);
}
