// What a list is asked for, kept in the address so that it survives a reload and can be sent to others.
import { useEffect } from "preact/hooks";
import { BASE } from "./api";
import { useResource, type Resource } from "./resource";
import { query, setQuery } from "./route";
import { pageInstead, type List } from "./types";
import type { Kind } from "./live";

export interface Listing<T> extends Resource<List<T>> {
  search: string;
  sort: string;
  page: number;
  chosen: (filter: string) => string[];
  isFiltered: boolean;
  filters: string[];
}

export function useListing<T>(path: string, filters: string[], kinds: Kind[], fixed = ""): Listing<T> {
  const asked = new URLSearchParams(fixed);
  for (const name of ["search", "sort", "page", ...filters]) {
    for (const value of query.value.getAll(name)) asked.append(name, value);
  }
  const resource = useResource<List<T>>(`${BASE}${path}?${asked}`, { kinds });
  const last = pageInstead(resource.data);
  useEffect(() => {
    if (last !== undefined && !resource.isStale) setQuery({ page: last === 1 ? "" : String(last) });
  }, [last, resource.isStale]);
  const chosen = (filter: string) => query.value.getAll(filter);
  return {
    ...resource,
    search: query.value.get("search") ?? "",
    sort: query.value.get("sort") ?? "",
    page: Number(query.value.get("page")) || 1,
    chosen,
    filters,
    isFiltered: query.value.has("search") || filters.some((filter) => query.value.has(filter)),
  };
}

export function toggleFilter(filter: string, value: string): void {
  const before = query.value.getAll(filter);
  const next = before.includes(value) ? before.filter((one) => one !== value) : [...before, value];
  setQuery({ [filter]: next, page: "" });
}

export function clearFilters(filters: string[]): void {
  setQuery(Object.fromEntries([...filters, "search", "page"].map((name) => [name, ""])));
}
