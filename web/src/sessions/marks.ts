import { useSyncExternalStore } from "react";

/** Which hits the person likes (1) and does not like (-1), until they are used to refine. */
type Marks = ReadonlyMap<string, 1 | -1>;

let marks: Marks = new Map();
const listeners = new Set<() => void>();

function replace(next: Marks) {
  marks = next;
  for (const each of listeners) each();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** The same mark again takes it back. */
export function mark(id: string, value: 1 | -1): void {
  const next = new Map(marks);
  if (next.get(id) === value) next.delete(id);
  else next.set(id, value);
  replace(next);
}

export const clearMarks = (): void => replace(new Map());
export const useMarks = () => useSyncExternalStore(subscribe, () => marks);
export const useMark = (id: string) => useSyncExternalStore(subscribe, () => marks.get(id) ?? 0);

export function judged(list: Marks): { pick: string[]; reject: string[] } {
  const of = (value: number) => [...list].filter(([, each]) => each === value).map(([id]) => id);
  return { pick: of(1), reject: of(-1) };
}
