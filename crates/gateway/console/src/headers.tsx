// The headers of requests: the token, and others. They are kept for the tab, and never in a link or the history.
import { signal } from "@preact/signals";
import { headers, token, type Header } from "./desk";
import { Icon } from "./icons";

const isShown = signal(false);

export function Headers() {
  const change = (index: number, part: Partial<Header>) => {
    headers.value = headers.value.map((header, at) => (at === index ? { ...header, ...part } : header));
  };
  return (
    <form class="headers" onSubmit={(event) => event.preventDefault()}>
      <label for="token">Token of this cluster</label>
      <div class="row">
        <input
          id="token"
          {...(isShown.value ? ({ type: "text" } as const) : ({ type: "password" } as const))}
          autocomplete="off"
          spellcheck={false}
          placeholder="Sent as Authorization: Bearer …"
          value={token.value}
          onInput={(event) => (token.value = event.currentTarget.value)}
        />
        <button class="quiet" type="button" aria-pressed={isShown.value} onClick={() => (isShown.value = !isShown.value)}>
          Show
        </button>
      </div>
      <p class="hint">
        <code>kubectl create token ACCOUNT</code> makes one. It stays in this tab and is sent to this cluster only.
      </p>
      {headers.value.map(({ name, value }, index) => (
        <div class="row" key={index}>
          <input
            aria-label={`Name of header ${index + 1}`}
            placeholder="Name"
            value={name}
            onInput={(event) => change(index, { name: event.currentTarget.value })}
          />
          <input
            aria-label={`Value of header ${index + 1}`}
            placeholder="Value"
            value={value}
            onInput={(event) => change(index, { value: event.currentTarget.value })}
          />
          <button
            class="quiet icon"
            type="button"
            aria-label={`Remove header ${name || index + 1}`}
            onClick={() => (headers.value = headers.value.filter((_, at) => at !== index))}
          >
            <Icon name="cross" />
          </button>
        </div>
      ))}
      <button class="quiet" type="button" onClick={() => (headers.value = [...headers.value, { name: "", value: "" }])}>
        <Icon name="plus" />
        Add a header
      </button>
    </form>
  );
}
