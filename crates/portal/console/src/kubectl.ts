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
  if (Array.isArray(value)) return value.map((item) => `${indent}- ${JSON.stringify(item)}`).join("\n");
  if (typeof value !== "object") return `${indent}${JSON.stringify(value)}`;
  const isEmpty = (item: Value) => typeof item === "object" && Object.keys(item).length === 0;
  return Object.entries(value)
    .filter(([, item]) => item !== undefined && !isEmpty(item))
    .map(([name, item]) => {
      const field = /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? name : JSON.stringify(name);
      return typeof item === "object"
        ? `${indent}${field}:\n${yaml(item, depth + 1)}`
        : `${indent}${field}: ${/^[A-Za-z][A-Za-z0-9]*$/.test(String(item)) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(String(item)) ? String(item) : JSON.stringify(item)}`;
    })
    .join("\n");
}

export function patched(kind: "apiproduct" | "apikey", { name, namespace }: Meta, patch: object): string {
  return line("kubectl", "patch", kind, name, "-n", namespace, "--type=merge", "-p", JSON.stringify(patch));
}

export function deleted(kind: "apiproduct" | "apikey", { name, namespace }: Meta): string {
  return line("kubectl", "delete", kind, name, "-n", namespace);
}

export function decided({ name, namespace }: Meta, phase: Phase, by: string, reason: string): string {
  const status = { phase, reviewedBy: by, reviewedAt: "NOW", ...(reason ? { reason } : {}) };
  const patch = word(JSON.stringify({ status })).replace('"NOW"', `"'"$(date -u +%FT%TZ)"'"`);
  return `${line("kubectl", "patch", "apikey", name, "-n", namespace, "--subresource=status", "--type=merge", "-p")} ${patch}`;
}

export function revealed(key: Key): string {
  const { name, namespace } = key.metadata;
  const secret = key.status?.secretRef?.name ?? `${name}-apikey-secret`;
  return `${line("kubectl", "get", "secret", secret, "-n", namespace, "-o")} jsonpath='{.data.api_key}' | base64 -d`;
}

export function rotated({ name, namespace }: Meta): string {
  const annotation = 'devportal.kuadrant.io/rotate-requested-at="$(date -u +%FT%TZ)"';
  return `${line("kubectl", "annotate", "apikey", name, "-n", namespace, "--overwrite")} ${annotation}`;
}
