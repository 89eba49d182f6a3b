// What the gateway has answered: one answer, or the events of a subscription.
import { json } from "@codemirror/lang-json";
import { computed, signal } from "@preact/signals";
import { useComputed, useSignalEffect } from "@preact/signals";
import { MAX_EVENTS, answer, eventCount, events, isFollowing, problem, running, type Event } from "./desk";
import { Editor } from "./editor";
import { pretty } from "./pretty";

/** Answers above this length are shown as they are, in characters. */
const MAX_PRETTY = 5_000_000;

const text = signal("");
const isEmpty = computed(() => !answer.value && !problem.value && events.value.length === 0 && !running.value);

export function Response() {
  useSignalEffect(() => {
    const said = answer.value?.text ?? "";
    text.value = said.length > MAX_PRETTY ? said : pretty(said);
  });
  const status = useComputed(() => answer.value && (answer.value.status < 300 ? "good" : "bad"));
  const isStream = events.value.length > 0 || (isFollowing.value && running.value !== undefined);
  return (
    <section class="pane response" aria-labelledby="response-title">
      <header class="bar">
        <h2 id="response-title">Response</h2>
        <p class="facts">
          {running.value && !isStream && <span class="busy">Waiting…</span>}
          {isStream && (
            <span class={running.value ? "live" : ""}>
              {running.value ? "Following" : "Ended"} · {eventCount.value} events
            </span>
          )}
          {answer.value && (
            <>
              <span class={`status ${status.value}`}>{answer.value.status}</span>
              <span>{Math.round(answer.value.milliseconds)} ms</span>
              <span>{size(answer.value.text.length)}</span>
            </>
          )}
        </p>
      </header>
      {problem.value && (
        <p class="complaint" role="alert">
          {problem.value}
        </p>
      )}
      {isEmpty.value && (
        <div class="empty">
          <p>Run a query to see its answer.</p>
          <p>
            <kbd>Ctrl</kbd> <kbd>Enter</kbd>
          </p>
        </div>
      )}
      {isStream && <Events />}
      {answer.value && <Editor label="Response" text={text} extensions={json()} isReadOnly />}
    </section>
  );
}

function Events() {
  return (
    <div class="events">
      {eventCount.value > MAX_EVENTS && <p class="hint">The last {MAX_EVENTS} are shown.</p>}
      <ol reversed>
        {events.value.map((event) => (
          <li key={event.number}>
            <EventView event={event} />
          </li>
        ))}
      </ol>
    </div>
  );
}

function EventView({ event }: { event: Event }) {
  const { kind, about } = summary(event.data);
  return (
    <details open={event.number === 1}>
      <summary>
        <span class={`badge ${kind.toLowerCase()}`}>{kind}</span>
        <span class="about">{about}</span>
        <time dateTime={event.at.toISOString()}>{event.at.toLocaleTimeString()}</time>
      </summary>
      <pre>{pretty(event.data)}</pre>
    </details>
  );
}

/** The type of a change and the name of its object, where they are selected. */
function summary(data: string): { kind: string; about: string } {
  try {
    const read = JSON.parse(data);
    const [value] = Object.values<any>(read.data ?? {});
    const { name, namespace } = value?.object?.metadata ?? {};
    const kind = read.errors?.length ? "ERROR" : String(value?.type ?? "EVENT");
    const message = read.errors?.[0]?.message;
    return { kind, about: message ?? [namespace, name].filter(Boolean).join("/") };
  } catch {
    return { kind: "EVENT", about: "" };
  }
}

function size(length: number): string {
  return length < 1000 ? `${length} B` : length < 1_000_000 ? `${(length / 1000).toFixed(1)} kB` : `${(length / 1_000_000).toFixed(1)} MB`;
}
