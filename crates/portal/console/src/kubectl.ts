// The kubectl line that does the same as a button.
import { line, word } from "./shell";
import type { Key, Meta, Phase } from "./types";

const GROUP = "devportal.kuadrant.io/v1alpha1";

type Value = string | number | boolean | undefined | Value[] | { [name: string]: Value };

/** A manifest that is read from the standard input. Its strings are quoted, so that no line can end it early. */
export function applied(verb: "apply" | "create", kind: string, metadata: object, spec: object): string {
  const object = { apiVersion: GROUP, kind, metadata, spec } as Value;
  return `kubectl ${verb} -f - <<'EOF'\n${yaml(object, 0)}\nEOF`;
}

function yaml(value: Value, depth: number): string {
  const indent = "  ".repeat(depth);
  if (Array.isArray(value)) return value.map((item) => `${indent}- ${quoted(item)}`).join("\n");
  if (typeof value !== "object") return `${indent}${quoted(value)}`;
  const isEmpty = (item: Value) => typeof item === "object" && Object.keys(item).length === 0;
  return Object.entries(value)
    .filter(([, item]) => item !== undefined && !isEmpty(item))
    .map(([name, item]) => {
      const field = /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? name : quoted(name);
      return typeof item === "object"
        ? `${indent}${field}:\n${yaml(item, depth + 1)}`
        : `${indent}${field}: ${/^[A-Za-z][A-Za-z0-9]*$/.test(String(item)) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(String(item)) ? String(item) : quoted(item)}`;
    })
    .join("\n");
}

/** A patch of an object. */
export function patched(kind: "APIProduct" | "APIKey", meta: Meta, patch: object): string {
  return patchedWith(kind, meta, json(patch));
}

/**
 * What is patched is read from the standard input: named on the line, kubectl would read it from the cluster first, and
 * not everybody who may change a key may read it there.
 */
function patchedWith(kind: string, { name, namespace }: Meta, patch: string, ...flags: string[]): string {
  const object = { apiVersion: GROUP, kind, metadata: { name, namespace } };
  const command = ["kubectl patch -f -", ...flags, "--type=merge -p", patch].join(" ");
  return `${command} <<'EOF'\n${yaml(object, 0)}\nEOF`;
}

/** JSON as one word. */
function json(value: object): string {
  return word(quoted(value));
}

/** JSON that is YAML, too: without what no YAML may have, and what ends a line in some. */
function quoted(value: unknown): string {
  const escaped = (one: string) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, escaped);
}

/** The same, in which the time of the run stands for the first NOW. */
function dated(value: object): string {
  return json(value).replace('"NOW"', `"'"$(date -u +%FT%TZ)"'"`);
}

export function deleted(kind: "apiproduct" | "apikey", { name, namespace }: Meta): string {
  return line("kubectl", "delete", kind, name, "-n", namespace);
}

export function decided(meta: Meta, phase: Phase, by: string, reason: string): string {
  const status = { phase, reviewedAt: "NOW", reviewedBy: by, ...(reason ? { reason } : {}) };
  return patchedWith("APIKey", meta, dated({ status }), "--subresource=status");
}

export function revealed(key: Key): string {
  const { name, namespace } = key.metadata;
  const secret = key.status?.secretRef?.name ?? `${name}-apikey-secret`;
  return `${line("kubectl", "get", "secret", secret, "-n", namespace, "-o")} jsonpath='{.data.api_key}' | base64 -d`;
}

/** Asks for a new value. Without an overlap, the one before works for as long as the operator lets it. */
export function rotated(meta: Meta, overlap?: string): string {
  const annotations = {
    "devportal.kuadrant.io/rotate-requested-at": "NOW",
    "devportal.kuadrant.io/rotate-overlap": overlap ?? null,
  };
  return patchedWith("APIKey", meta, dated({ metadata: { annotations } }));
}
