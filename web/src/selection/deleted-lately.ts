import { useSyncExternalStore } from "react";

/** Deletions by this browser that can still be undone, the newest first. The service keeps them for `DELETE_KEEP_DAYS`. */
export interface DeletedLately {
  ids: string[];
  count: number;
  /** Milliseconds since the epoch. */
  at: number;
}

const NAME = "image2search-deletions";
const MOST = 20;

function isEntry(value: unknown): value is DeletedLately {
  return typeof value === "object" && value !== null && "ids" in value && Array.isArray(value.ids) && "at" in value;
}

function read(): readonly DeletedLately[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(stored) ? stored.filter(isEntry) : [];
  } catch {
    return [];
  }
}

let entries = read();
const listeners = new Set<() => void>();

function replace(next: readonly DeletedLately[]) {
  entries = next.slice(0, MOST);
  localStorage.setItem(NAME, JSON.stringify(entries));
  for (const each of listeners) each();
}

export const remember = (entry: DeletedLately) => replace([entry, ...entries]);

/** They were undone, or can't be any more. */
export function forget(ids: readonly string[]): void {
  const left = entries.map((each) => ({ ...each, ids: each.ids.filter((id) => !ids.includes(id)) }));
  replace(left.filter((each) => each.ids.length));
}

export const deletedLately = () => entries;

export function useDeletedLately(): readonly DeletedLately[] {
  return useSyncExternalStore((changed) => {
    listeners.add(changed);
    return () => void listeners.delete(changed);
  }, deletedLately);
}
