// The start page: asks for a token, and lists the clusters that take it.
import { signal } from "@preact/signals";
import { render } from "preact";
import { complaint } from "./api";
import { Icon, Rhumbs, Rose } from "./icons";
import { forTheTab, tokenKey, write } from "./storage";
import { ThemeButton } from "./theme";

interface Found {
  clusters: string[];
  /** Number of clusters that could not be asked. */
  unanswered: number;
}

const token = signal("");
const cluster = signal("");
const found = signal<Found | undefined>(undefined);
const problem = signal("");
const isAsking = signal(false);

async function search(): Promise<void> {
  problem.value = "";
  found.value = undefined;
  isAsking.value = true;
  try {
    const response = await fetch("/api/clusters", {
      headers: { authorization: `Bearer ${token.value.trim()}` },
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    const text = await response.text();
    if (response.ok) found.value = JSON.parse(text) as Found;
    else problem.value = complaint({ status: response.status, text });
  } catch {
    problem.value = "the gateway could not be asked";
  } finally {
    isAsking.value = false;
  }
}

function open(name: string): void {
  write(forTheTab, tokenKey(name), token.value.trim());
  location.assign(`/${encodeURIComponent(name)}/graphql`);
}

function Clusters({ clusters, unanswered }: Found) {
  return (
    <section
      class="found"
      aria-labelledby="found-title"
      ref={(element) => element?.scrollIntoView({ block: "nearest" })}
    >
      <h2 id="found-title">{clusters.length === 1 ? "One cluster takes it" : `${clusters.length} clusters take it`}</h2>
      <ul>
        {clusters.map((name) => (
          <li key={name}>
            <button type="button" onClick={() => open(name)}>
              <Rose />
              <span>{name}</span>
              <code>/{name}/graphql</code>
            </button>
          </li>
        ))}
      </ul>
      {unanswered > 0 && <p class="hint">{unanswered} more could not be asked in time.</p>}
    </section>
  );
}

function App() {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (cluster.value.trim()) open(cluster.value.trim());
    else void search();
  };
  return (
    <>
      <Rhumbs />
      <header class="top">
        <span class="brand">
          <Rose />
          <span>Portolan</span>
        </span>
        <div class="tools">
          <ThemeButton />
        </div>
      </header>
      <main>
        <h1>GraphQL over your clusters</h1>
        <p class="lead">Every kind, with your own token and your own rights.</p>
        <form onSubmit={submit}>
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            required
            autocomplete="off"
            spellcheck={false}
            value={token.value}
            onInput={(event) => (token.value = event.currentTarget.value)}
          />
          <label for="cluster">Cluster</label>
          <input
            id="cluster"
            autocomplete="off"
            spellcheck={false}
            placeholder="Leave empty to ask all of them"
            aria-describedby="cluster-hint"
            value={cluster.value}
            onInput={(event) => (cluster.value = event.currentTarget.value)}
          />
          <p class="hint" id="cluster-hint">
            Without a name, the token is sent to the API server of every cluster that this gateway serves, and those that
            take it are listed. It is kept in this tab only.
          </p>
          <button class="main" type="submit" disabled={isAsking.value}>
            <Icon name="play" />
            {isAsking.value ? "Asking…" : cluster.value.trim() ? "Open" : "Find my clusters"}
          </button>
        </form>
        {problem.value && (
          <p class="complaint" role="alert">
            {problem.value}
          </p>
        )}
        <div aria-live="polite">{found.value && <Clusters {...found.value} />}</div>
      </main>
    </>
  );
}

const app = document.getElementById("app");
if (app) render(<App />, app);
