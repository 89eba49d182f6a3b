// Fields of forms: a label, a control, and what is wrong with it.
import { useId, useState } from "preact/hooks";

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: string | undefined;
  problem?: string | undefined;
  isRequired?: boolean;
  isReadOnly?: boolean;
  rows?: number;
  type?: "text" | "url" | "email" | "date";
  min?: string;
}

export function Field({ label, value, onChange, hint, problem, isRequired, isReadOnly, rows, type = "text", min }: FieldProps) {
  const id = useId();
  const [isTouched, setTouched] = useState(false);
  const shown = isTouched ? problem : undefined;
  const control = {
    id,
    value,
    required: isRequired,
    readOnly: isReadOnly,
    "aria-invalid": shown ? true : undefined,
    "aria-describedby": shown || hint ? `${id}-hint` : undefined,
    onBlur: () => setTouched(true),
    onInput: (event: Event) => onChange((event.target as HTMLInputElement).value),
  };
  return (
    <div class="field">
      <label for={id}>
        {label}
        {isRequired && <span aria-hidden="true"> *</span>}
      </label>
      {rows ? <textarea rows={rows} {...control} /> : <input {...({ type, min, ...control } as object)} />}
      {(shown || hint) && (
        <p id={`${id}-hint`} class={`hint ${shown ? "bad-text" : ""}`}>
          {shown || hint}
        </p>
      )}
    </div>
  );
}

interface SearchProps {
  label: string;
  text: string;
  onChange: (text: string) => void;
}

/** A search among what a dialog offers. Enter ends a search for many people; it does not send the dialog. */
export function Search({ label, text, onChange }: SearchProps) {
  const typed = (event: KeyboardEvent) => {
    if (event.key === "Enter") event.preventDefault();
  };
  return (
    <label class="field">
      {label}
      <input type="search" value={text} onInput={(event) => onChange((event.target as HTMLInputElement).value)} onKeyDown={typed} />
    </label>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
  hint?: string;
}

export function Choice({ label, value, options, onChange, hint }: ChoiceProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-describedby={hint ? `${id}-hint` : undefined}
        onChange={(event) => onChange((event.target as HTMLSelectElement).value)}
      >
        {options.map(([one, text]) => (
          <option key={one} value={one} selected={one === value}>
            {text}
          </option>
        ))}
      </select>
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

interface RadiosProps extends ChoiceProps {
  notes?: Record<string, string>;
}

export function Radios({ label, value, options, onChange, notes }: RadiosProps) {
  const name = useId();
  return (
    <fieldset class="radios">
      <legend>{label}</legend>
      {options.map(([one, text]) => (
        <label key={one} class="radio">
          <input type="radio" name={name} value={one} checked={one === value} onChange={() => onChange(one)} />
          <span>
            {text}
            {notes?.[one] && <span class="soft small block">{notes[one]}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** Words that are added by Enter or a button, and removed one by one. */
export function Tags({ tags, onChange }: { tags: string[]; onChange: (tags: string[]) => void }) {
  const id = useId();
  const [text, setText] = useState("");
  const add = () => {
    const tag = text.trim();
    if (tag && !tags.includes(tag)) onChange([...tags, tag]);
    setText("");
  };
  const typed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    add();
  };
  return (
    <div class="field">
      <label for={id}>Tags</label>
      <div class="row">
        <input
          id={id}
          class="grow"
          value={text}
          onInput={(event) => setText((event.target as HTMLInputElement).value)}
          onKeyDown={typed}
        />
        <button class="plain" type="button" onClick={add}>
          Add tag
        </button>
      </div>
      {tags.length > 0 && (
        <ul class="chips" aria-label="Tags so far">
          {tags.map((tag) => (
            <li key={tag}>
              <button class="chip accent" type="button" onClick={() => onChange(tags.filter((one) => one !== tag))}>
                {tag} <span class="unseen">(remove)</span>
                <span aria-hidden="true">×</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
