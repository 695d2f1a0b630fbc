import { useSyncExternalStore } from "react";
import type { Schemas } from "../api/client";

/** All pictures that filters (and a query) find, also those that no page has shown yet. `count`: how many there were. */
export interface Everything {
  meant: Pick<Schemas["DeletePictures"], "filters" | "query" | "limit" | "min_score">;
  count: number;
}

/**
 * The pictures that are selected, by id, in the order in which they were taken. One selection for search, library and map: it stays when the
 * page changes and goes when the tab is closed.
 */
let selected: ReadonlySet<string> = new Set();
/** While it is set, `selected` holds only those of them that a page has shown. */
let everything: Everything | null = null;
let anchor: string | null = null;
const listeners = new Set<() => void>();

function replace(next: ReadonlySet<string>, all: Everything | null = null) {
  selected = next;
  everything = all;
  for (const each of listeners) each();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export const selection = {
  current: () => selected,

  /** Set while more is selected than pages have shown. Any change by hand ends it: then the shown ones are selected. */
  everything: () => everything,

  takeEverything(all: Everything, shown: Iterable<string>) {
    replace(new Set(shown), all);
  },

  /** More pictures of `everything` are shown. */
  showMore(ids: readonly string[]) {
    if (everything && ids.some((id) => !selected.has(id))) replace(new Set([...selected, ...ids]), everything);
  },

  /** The last picture that was taken alone: where a range begins. */
  anchor: () => anchor,

  toggle(id: string) {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    anchor = id;
    replace(next);
  },

  /** Takes all that lie between the anchor and `id` in `order`, both included. */
  extendTo(id: string, order: readonly string[]) {
    replace(new Set([...selected, ...between(order, anchor ?? id, id)]));
  },

  add(ids: Iterable<string>) {
    replace(new Set([...selected, ...ids]));
  },

  set(ids: Iterable<string>) {
    replace(new Set(ids));
  },

  remove(ids: Iterable<string>) {
    const next = new Set(selected);
    for (const id of ids) next.delete(id);
    replace(next);
  },

  clear() {
    anchor = null;
    replace(new Set());
  },
};

/** The part of `order` from one to the other, forwards or backwards; what is not in `order` gives `to` alone. */
export function between(order: readonly string[], from: string, to: string): string[] {
  const [first, last] = [order.indexOf(from), order.indexOf(to)];
  if (first < 0 || last < 0) return [to];
  return order.slice(Math.min(first, last), Math.max(first, last) + 1);
}

export const useSelection = () => useSyncExternalStore(subscribe, selection.current);

export const useEverything = () => useSyncExternalStore(subscribe, selection.everything);

export const useIsSelected = (id: string) => useSyncExternalStore(subscribe, () => selected.has(id));
