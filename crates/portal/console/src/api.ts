// Requests to the portal's own server.
import { signal } from "@preact/signals";
import { isActive } from "./activity";

/** Why a request has failed. Status 0: there was no answer. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export const BASE = "/api/kuadrant";

/** What mutations from a session must carry. */
export const csrf = signal<string | undefined>(undefined);
/** Whether the server has said that nobody is signed in (any more). */
export const signedOut = signal(false);
/** How long another tab may take to renew the session of both. */
const RENEWAL = 300;
/** The newest state per kind that this page has seen, so that no replica answers with an older one. */
const seen = new Map<string, string>();

interface Options {
  body?: unknown;
  id?: string;
  signal?: AbortSignal;
  /** Nobody has asked for it by an input. */
  isBackground?: boolean;
  /** Somebody has asked for it, whatever the last input was. */
  isUse?: boolean;
}

export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const headers = new Headers({ accept: "application/json" });
  if (options.body !== undefined) headers.set("content-type", "application/json");
  if (method !== "GET" && csrf.value) headers.set("x-csrf-token", csrf.value);
  if (method === "GET" && seen.size) headers.set("x-min-version", [...seen].map((pair) => pair.join("=")).join(", "));
  if (options.id) headers.set("idempotency-key", options.id);
  if (options.isUse || (!options.isBackground && isActive())) headers.set("x-user-active", "1");
  const request: RequestInit = { method, headers, redirect: "error", cache: "no-store" };
  if (options.body !== undefined) request.body = JSON.stringify(options.body);
  if (options.signal) request.signal = options.signal;
  const response = await sent(path, request);
  remember(response.headers.get("x-min-version"));
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/**
 * A refusal may only mean that another tab has just used up what renews the session: with the cookie that the browser
 * has a moment later, the same is asked once more. A request that was refused like that has changed nothing.
 */
async function sent(path: string, request: RequestInit): Promise<Response> {
  const once = () =>
    fetch(path, request).catch((error: unknown) => {
      if (request.signal?.aborted) throw error;
      throw new Problem(0, "The portal does not answer.");
    });
  const first = await once();
  if (first.status !== 401) return first;
  await new Promise((resolve) => setTimeout(resolve, RENEWAL));
  return once();
}

function remember(versions: string | null): void {
  for (const pair of versions?.split(",") ?? []) {
    const [kind, version] = pair.trim().split("=");
    if (kind && version) saw(kind, version);
  }
}

/** Notes a version, so that no list is asked for that may be older. */
export function saw(kind: string, version: string): void {
  if (BigInt(version) > BigInt(seen.get(kind) ?? "0")) seen.set(kind, version);
}

async function problemOf(response: Response): Promise<Problem> {
  if (response.status === 401) signedOut.value = true;
  try {
    const { detail, error, title } = await response.json();
    return new Problem(response.status, detail || error || title || `status ${response.status}`);
  } catch {
    return new Problem(response.status, `status ${response.status}`);
  }
}

/** What to do about a failure. */
export function cure(status: number): string {
  if (status === 0) return "Check your connection, then try again.";
  if (status === 401) return "Your session has ended: sign in again.";
  if (status === 403) return "Permission denied. Contact your administrator.";
  if (status === 404) return "Resource not found. It may have been deleted.";
  if (status === 409) return "Somebody else has changed it meanwhile: look at its newest state, then try again.";
  if (status === 429) return "Too many requests: wait a minute, then try again.";
  if (status >= 500) return "Server error. Please try again or contact support.";
  return "Correct the input, then try again.";
}

/** The address of something below the API. */
export function at(...parts: string[]): string {
  return [BASE, ...parts.map(encodeURIComponent)].join("/");
}
