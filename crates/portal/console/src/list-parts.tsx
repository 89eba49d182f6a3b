// What lists have in common: search, filters with counts, sortable heads, pages.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { announce } from "./announce";
import { Icon } from "./icons";
import { clearFilters, toggleFilter, type Listing } from "./listing";
import { query, setQuery } from "./route";

const TYPING = 200;

export function Search({ label }: { label: string }) {
  const id = useId();
  const [text, setText] = useState(query.value.get("search") ?? "");
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const typed = (event: InputEvent) => {
    const { value } = event.target as HTMLInputElement;
    setText(value);
    clearTimeout(timer.current);
    if (!event.isComposing) timer.current = setTimeout(() => setQuery({ search: value.trim(), page: "" }), TYPING);
  };
  useEffect(() => {
    if (!query.value.has("search")) setText("");
  }, [query.value]);
  return (
    <div class="search">
      <label class="unseen" for={id}>
        {label}
      </label>
      <Icon name="search" />
      <input id={id} type="search" placeholder={label} value={text} onInput={typed} onCompositionEnd={typed as never} />
    </div>
  );
}

interface FiltersProps {
  listing: Listing<unknown>;
  titles: Record<string, string>;
}

/** Filters beside the list; folded away where there is no room beside it. */
export function Filters({ listing, titles }: FiltersProps) {
  const rail = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const hasRoom = getComputedStyle(document.documentElement).getPropertyValue("--has-rail").trim() === "1";
    if (rail.current) rail.current.open = hasRoom;
  }, []);
  const count = listing.filters.reduce((sum, filter) => sum + listing.chosen(filter).length, 0);
  return (
    <details class="rail" ref={rail}>
      <summary>
        Filters {count > 0 && <span class="count">{count}</span>} <Icon name="chevron" />
      </summary>
      <div class="stack">
        <button class="quiet" type="button" disabled={!listing.isFiltered} onClick={() => clearFilters(listing.filters)}>
          Clear all
        </button>
        {listing.filters.map((filter) => (
          <Facet key={filter} {...{ listing, filter }} title={titles[filter] ?? filter} />
        ))}
      </div>
    </details>
  );
}

const SHORT = 5;

function Facet({ listing, filter, title }: { listing: Listing<unknown>; filter: string; title: string }) {
  const [isLong, setLong] = useState(false);
  const chosen = listing.chosen(filter);
  // An address has no room for a value without text.
  const known = (listing.data?.facets?.[filter] ?? []).filter(({ value }) => value !== "");
  const lost = chosen.filter((value) => !known.some((one) => one.value === value));
  const values = [...known, ...lost.map((value) => ({ value, count: 0 }))];
  if (!values.length) return null;
  const shown = isLong ? values : values.filter(({ value }, index) => index < SHORT || chosen.includes(value));
  return (
    <fieldset class="facet">
      <legend>{title}</legend>
      {shown.map(({ value, count }) => (
        <label key={value} class="check">
          <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggleFilter(filter, value)} />
          <span class="grow clip">{value}</span>
          <span class="soft small">{count}</span>
        </label>
      ))}
      {values.length > SHORT && (
        <button class="quiet" type="button" aria-expanded={isLong} onClick={() => setLong(!isLong)}>
          {isLong ? "Show fewer" : `Show all ${values.length}`}
        </button>
      )}
    </fieldset>
  );
}

/** A head of a column by which the list can be sorted. */
export function SortHead({ by, listing, children }: { by: string; listing: Listing<unknown>; children: string }) {
  const direction = listing.sort === by ? "ascending" : listing.sort === `-${by}` ? "descending" : undefined;
  const next = direction === "ascending" ? `-${by}` : by;
  return (
    <th scope="col" aria-sort={direction}>
      <button class="sort" type="button" onClick={() => setQuery({ sort: next, page: "" })}>
        {children} <span class={`sort-mark ${direction ?? ""}`} aria-hidden="true" />
      </button>
    </th>
  );
}

export function Pager({ listing }: { listing: Listing<unknown> }) {
  const { page = 1, pageSize = 1, total = 0 } = listing.data ?? {};
  const last = Math.max(1, Math.ceil(total / pageSize));
  const from = total ? (page - 1) * pageSize + 1 : 0;
  const text = `${from}–${Math.min(total, page * pageSize)} of ${total}`;
  const isFirst = useRef(true);
  useEffect(() => {
    if (!listing.data) return;
    if (!isFirst.current) announce(text);
    isFirst.current = false;
  }, [text]);
  if (last === 1) return null;
  const turn = (to: number) => {
    setQuery({ page: String(to) });
    scrollTo(0, 0);
  };
  return (
    <nav class="pager" aria-label="Pages">
      <button class="plain" type="button" disabled={page <= 1} onClick={() => turn(page - 1)}>
        <Icon name="back" /> Previous
      </button>
      <span class="soft">{text}</span>
      <button class="plain" type="button" disabled={page >= last} onClick={() => turn(page + 1)}>
        Next <Icon name="arrow" />
      </button>
    </nav>
  );
}

interface PageHeadProps {
  title: string;
  lead: string;
  children?: ComponentChildren;
}

export function PageHead({ title, lead, children }: PageHeadProps) {
  return (
    <header class="page-head">
      <div class="grow">
        <h1>{title}</h1>
        <p class="lead">{lead}</p>
      </div>
      {children}
    </header>
  );
}
