// The queries that were run: kept for the cluster in this browser, the last first. Headers are not kept.
import { signal } from "@preact/signals";
import { Icon } from "./icons";
import { forLong, stored } from "./storage";

interface Past {
  query: string;
  variables: string;
  at: number;
}

const MAX_ENTRIES = 50;
const MAX_LENGTH = 50_000;

const cluster = location.pathname.replace(/\/+$/, "").split("/").at(-2) ?? "";
const past = stored<Past[]>(forLong, `portolan:history:${decodeURIComponent(cluster)}`, []);
const isAsking = signal(false);

export function remember(run: { query: string; variables: string }): void {
  if (run.query.length + run.variables.length > MAX_LENGTH) return;
  const others = past.value.filter((one) => one.query !== run.query || one.variables !== run.variables);
  past.value = [{ ...run, at: Date.now() }, ...others].slice(0, MAX_ENTRIES);
}

/** The name of a query: that of its operation, or the beginning of its text. */
function title(query: string): string {
  const named = /\b(?:query|mutation|subscription)\s+(\w+)/.exec(query.replace(/#.*$/gm, ""));
  return named?.[1] ?? query.replace(/#.*$/gm, "").replace(/\s+/g, " ").trim().slice(0, 60);
}

export function History({ onPick }: { onPick: (query: string, variables: string) => void }) {
  if (past.value.length === 0) return <p class="hint">Queries that you run are listed here, in this browser only.</p>;
  return (
    <>
      <ul class="past">
        {past.value.map((one) => (
          <li key={one.at}>
            <button class="entry" type="button" onClick={() => onPick(one.query, one.variables)}>
              <span class="name">{title(one.query)}</span>
              <time dateTime={new Date(one.at).toISOString()}>{new Date(one.at).toLocaleString()}</time>
            </button>
            <button
              class="quiet icon"
              type="button"
              aria-label={`Remove ${title(one.query)}`}
              onClick={() => (past.value = past.value.filter((other) => other !== one))}
            >
              <Icon name="cross" />
            </button>
          </li>
        ))}
      </ul>
      <button
        class="quiet"
        type="button"
        onBlur={() => (isAsking.value = false)}
        onClick={() => {
          if (isAsking.value) past.value = [];
          isAsking.value = !isAsking.value;
        }}
      >
        {isAsking.value ? "Press again to remove all" : "Remove all"}
      </button>
    </>
  );
}
