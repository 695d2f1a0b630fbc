import { useSyncExternalStore } from "react";

/** Imports that this tab has started, the newest first. They go on in the service, also when the page is left. */
const NAME = "image2search-imports";
const MOST = 10;

function read(): readonly string[] {
  const stored = sessionStorage.getItem(NAME);
  return stored ? stored.split(" ") : [];
}

let ids = read();
const listeners = new Set<() => void>();

function replace(next: readonly string[]) {
  ids = next.slice(0, MOST);
  if (ids.length) sessionStorage.setItem(NAME, ids.join(" "));
  else sessionStorage.removeItem(NAME);
  for (const each of listeners) each();
}

export const rememberImport = (id: string) => replace([id, ...ids]);
export const forgetImport = (id: string) => replace(ids.filter((each) => each !== id));

const current = () => ids;
const subscribe = (changed: () => void) => {
  listeners.add(changed);
  return () => void listeners.delete(changed);
};

export const useStartedImports = () => useSyncExternalStore(subscribe, current);
