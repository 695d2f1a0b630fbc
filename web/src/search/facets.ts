import type { ImageResult } from "../api/client";

export interface Facet {
  folder: string;
  count: number;
}

/** The folders of the hits with the number of hits in each, the fullest first. */
export function facetsOf(hits: readonly Pick<ImageResult, "folder">[]): Facet[] {
  const counts = new Map<string, number>();
  for (const { folder } of hits) counts.set(folder, (counts.get(folder) ?? 0) + 1);
  return [...counts]
    .map(([folder, count]) => ({ folder, count }))
    .sort((a, b) => b.count - a.count || a.folder.localeCompare(b.folder));
}
