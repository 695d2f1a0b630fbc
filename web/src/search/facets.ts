import type { ImageResult, Schemas } from "../api/client";

export interface Facet {
  folder: string;
  /** Pictures that fit; null where that is not known. */
  count: number | null;
}

const MOST_FACETS = 12;

/**
 * The folders to choose from: those of all pictures that fit, the fullest first, or else those of the hits. What is chosen is always among
 * them.
 */
export function facetsOf(
  matches: Pick<Schemas["MatchingPictures"], "folders"> | undefined,
  hits: readonly Pick<ImageResult, "folder">[],
  chosen: readonly string[],
): Facet[] {
  const found: Facet[] = matches?.folders.length
    ? matches.folders.map(({ path, count }) => ({ folder: path, count }))
    : [...new Set(hits.map(({ folder }) => folder))].map((folder) => ({ folder, count: null }));
  const isChosen = ({ folder }: Facet) => chosen.includes(folder);
  const missing = chosen.filter((folder) => !found.some((each) => each.folder === folder));
  const first = [...found.filter(isChosen), ...missing.map((folder) => ({ folder, count: null }))];
  const shown = found.filter((each) => !isChosen(each)).slice(0, Math.max(0, MOST_FACETS - first.length));
  const order = [...found, ...first];
  return [...first, ...shown].sort((a, b) => order.indexOf(a) - order.indexOf(b));
}
