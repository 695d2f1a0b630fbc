/** The pictures among which one was opened, for "next" and "previous" on its page, and the search that found them. */
interface Trail {
  ids: readonly string[];
  /** What was looked for, for the heat map; empty: nothing in words. */
  words: string;
}

let trail: Trail = { ids: [], words: "" };

export function setTrail(ids: readonly string[], words = ""): void {
  trail = { ids, words };
}

export function neighboursOf(id: string): {
  previous: string | null;
  next: string | null;
  position: number;
  count: number;
} {
  const at = trail.ids.indexOf(id);
  const around = (step: number) => (at < 0 ? null : (trail.ids[at + step] ?? null));
  return { previous: around(-1), next: around(1), position: at + 1, count: trail.ids.length };
}

export const trailWords = (): string => trail.words;
