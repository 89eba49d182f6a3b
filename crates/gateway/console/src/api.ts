// Requests to the gateway. Subscriptions are event streams, read through fetch: an EventSource sends no header.
import { Frames, type Frame } from "./frames";

export interface GraphQLRequest {
  query: string;
  variables?: Record<string, unknown>;
  operationName?: string;
}

export interface Answer {
  status: number;
  text: string;
  milliseconds: number;
}

export type Headers = Record<string, string>;

/** Pauses before a broken stream is resumed, in milliseconds. */
const PAUSES = [500, 1000, 2000, 5000, 10_000];

export async function ask(
  endpoint: string,
  request: GraphQLRequest,
  headers: Headers,
  signal: AbortSignal,
): Promise<Answer> {
  const begin = performance.now();
  const accept = "application/graphql-response+json, application/json;q=0.9";
  const response = await post(endpoint, request, { ...headers, accept }, signal);
  const text = await response.text();
  return { status: response.status, text, milliseconds: performance.now() - begin };
}

/** Follows a subscription until it completes. What is not a stream is returned as an answer. */
export async function follow(
  endpoint: string,
  request: GraphQLRequest,
  headers: Headers,
  signal: AbortSignal,
  each: (frame: Frame) => void,
): Promise<Answer | undefined> {
  const begin = performance.now();
  const state: Reading = { lastId: "", isComplete: false };
  for (let failures = 0; ; failures += 1) {
    try {
      const resumed = state.lastId ? { "last-event-id": state.lastId } : {};
      const asked = { ...headers, ...resumed, accept: "text/event-stream, application/json;q=0.5" };
      const response = await post(endpoint, request, asked, signal);
      if (!response.headers.get("content-type")?.startsWith("text/event-stream") || !response.body) {
        const text = await response.text();
        return { status: response.status, text, milliseconds: performance.now() - begin };
      }
      failures = 0;
      await read(response.body, state, each);
    } catch (error) {
      if (signal.aborted || (failures === 0 && !state.lastId)) throw error;
    }
    if (state.isComplete) return undefined;
    await pause(PAUSES[failures] ?? 30_000, signal);
  }
}

interface Reading {
  lastId: string;
  isComplete: boolean;
}

async function read(body: ReadableStream<Uint8Array>, state: Reading, each: (frame: Frame) => void): Promise<void> {
  const frames = new Frames();
  const decoder = new TextDecoder();
  for await (const chunk of body) {
    for (const frame of frames.push(decoder.decode(chunk, { stream: true }))) {
      if (frame.id) state.lastId = frame.id;
      if (frame.event === "complete") state.isComplete = true;
      else each(frame);
    }
  }
}

function post(endpoint: string, request: GraphQLRequest, headers: Headers, signal: AbortSignal): Promise<Response> {
  return fetch(endpoint, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(request),
    credentials: "omit",
    cache: "no-store",
    redirect: "error",
    signal,
  });
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** The first message of an answer that has errors, or what its status says. */
export function complaint(answer: { status: number; text: string }): string {
  try {
    const message = JSON.parse(answer.text).errors?.[0]?.message;
    if (typeof message === "string") return message;
  } catch {
    // Something in between has answered.
  }
  return `the gateway answers with status ${answer.status}`;
}
