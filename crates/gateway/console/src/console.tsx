// The console of one cluster: a query, its variables and headers, and what the gateway answers.
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { linter } from "@codemirror/lint";
import type { EditorView } from "@codemirror/view";
import { effect, signal } from "@preact/signals";
import { graphql, updateSchema } from "cm6-graphql";
import { render } from "preact";
import { cluster, hasToken, notice, query, run, running, schema, spoken, stop, variables } from "./desk";
import { Docs, showInDocs } from "./docs";
import { Editor } from "./editor";
import { Headers } from "./headers";
import { History } from "./history";
import { Icon, Rose } from "./icons";
import { prettify } from "./prettify";
import { Response } from "./response";
import { link } from "./share";
import { ShortcutList, useShortcuts, type Shortcut } from "./shortcuts";
import { forLong, stored } from "./storage";
import { Tabs } from "./tabs";
import { ThemeButton } from "./theme";

type Side = "docs" | "history" | "";

const side = stored<Side>(forLong, "portolan:side", "docs");
const tab = signal(hasToken.peek() ? "Variables" : "Headers");
let editor: EditorView | undefined;

const runHere = () => void run(editor?.state.selection.main.head ?? 0);

function tidy(): void {
  const done = editor && prettify(editor);
  notice.value = done ? "The query is laid out anew" : "The query cannot be parsed, so it was left as it is";
}

async function share(): Promise<void> {
  const url = link({ query: query.value, variables: variables.value });
  window.history.replaceState(null, "", url);
  try {
    await navigator.clipboard.writeText(url);
    notice.value = "The link is copied. It has the query and its variables, and no headers";
  } catch {
    notice.value = "The link is in the address bar. It has the query and its variables, and no headers";
  }
}

function searchDocs(): void {
  const focus = () => document.getElementById("docs-search")?.focus();
  if (side.value === "docs") return focus();
  side.value = "docs";
  setTimeout(focus);
}

const ctrl = (event: KeyboardEvent) => event.ctrlKey || event.metaKey;
const SHORTCUTS: Shortcut[] = [
  {
    keys: ["Ctrl", "Enter"],
    does: "Run the operation at the cursor",
    matches: (event) => ctrl(event) && event.key === "Enter",
    run: runHere,
  },
  {
    keys: ["Shift", "Alt", "F"],
    does: "Prettify the query",
    matches: (event) => event.shiftKey && event.altKey && event.code === "KeyF",
    run: tidy,
  },
  {
    keys: ["Ctrl", "K"],
    does: "Search the docs",
    matches: (event) => ctrl(event) && !event.shiftKey && event.key.toLowerCase() === "k",
    run: searchDocs,
  },
];

// A link that is opened in the same tab only changes the fragment.
addEventListener("hashchange", () => location.reload());

function SideButton({ name, label }: { name: "docs" | "history"; label: string }) {
  const isOpen = side.value === name;
  return (
    <button
      class="quiet icon"
      type="button"
      aria-pressed={isOpen}
      aria-label={label}
      title={label}
      onClick={() => (side.value = isOpen ? "" : name)}
    >
      <Icon name={name} />
    </button>
  );
}

function Top() {
  return (
    <header class="top">
      <a class="brand" href="/" title="All clusters">
        <Rose />
        <span>Portolan</span>
      </a>
      <h1>{cluster}</h1>
      <div class="tools">
        <ShortcutList shortcuts={SHORTCUTS} />
        <ThemeButton />
      </div>
    </header>
  );
}

function QueryPane() {
  return (
    <section class="pane query" aria-labelledby="query-title">
      <header class="bar">
        <h2 id="query-title">Query</h2>
        <div class="tools">
          <button class="quiet" type="button" onClick={tidy}>
            <Icon name="tidy" />
            Prettify
          </button>
          <button class="quiet" type="button" onClick={() => void share()}>
            <Icon name="share" />
            Share
          </button>
          {running.value ? (
            <button class="main stop" type="button" onClick={stop}>
              <Icon name="stop" />
              Stop
            </button>
          ) : (
            <button class="main" type="button" onClick={runHere}>
              <Icon name="play" />
              Run
            </button>
          )}
        </div>
      </header>
      <Editor
        label="GraphQL query"
        text={query}
        hint="{ v1 { Pods { items { metadata { name } } } } }"
        extensions={graphql(undefined, {
          showErrorOnInvalidSchema: false,
          onShowInDocs: (field, type, parent) => {
            side.value = "docs";
            if (parent ?? type) showInDocs((parent ?? type) as string, parent ? field : undefined);
          },
        })}
        onReady={(view) => {
          editor = view;
          effect(() => updateSchema(view, schema.value));
        }}
      />
      <div class="lower">
        <Tabs
          label="Parts of the request"
          chosen={tab}
          tabs={[
            {
              name: "Variables",
              body: <Editor label="Variables" text={variables} extensions={[json(), linter(jsonParseLinter())]} hint="{}" />,
            },
            { name: "Headers", body: <Headers /> },
          ]}
        />
      </div>
    </section>
  );
}

function App() {
  useShortcuts(SHORTCUTS);
  const pick = (text: string, given: string) => {
    query.value = text;
    variables.value = given;
    editor?.focus();
  };
  return (
    <>
      <Top />
      <main class={side.value ? "with-side" : ""}>
        <nav class="rail" aria-label="Panels">
          <SideButton name="docs" label="Docs" />
          <SideButton name="history" label="History" />
        </nav>
        {side.value && (
          <aside aria-label={side.value === "docs" ? "Docs" : "History"}>
            <h2>{side.value === "docs" ? "Docs" : "History"}</h2>
            {side.value === "docs" ? <Docs /> : <History onPick={pick} />}
          </aside>
        )}
        <QueryPane />
        <Response />
      </main>
      <p class={notice.value ? "notice" : "notice unseen"} role="status" key={notice.value}>
        {notice.value}
      </p>
      <p class="unseen" role="status">
        {spoken.value}
      </p>
    </>
  );
}

effect(() => {
  if (!notice.value) return undefined;
  const timer = setTimeout(() => (notice.value = ""), 4000);
  return () => clearTimeout(timer);
});

document.title = `${cluster} · Portolan`;
const app = document.getElementById("app");
if (app) render(<App />, app);
