import type { ImageResult, Schemas } from "../api/client";

export interface Facet {
  folder: string;
  /** Pictures that fit in the folder and below it, where a choice of it searches; null where that is not known. */
  count: number | null;
}

const MOST_FACETS = 12;

type Matches = Pick<Schemas["MatchingPictures"], "folders">;

/** The pictures that fit in each folder and below it. */
function countsOf({ folders }: Matches): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { path, count } of folders) {
    const names = path.split("/");
    for (let depth = 1; depth <= names.length; depth++) {
      const folder = names.slice(0, depth).join("/");
      counts.set(folder, (counts.get(folder) ?? 0) + count);
    }
  }
  return counts;
}

/**
 * The folders to choose from: those of all pictures that fit, the fullest first, or else those of the hits. What is chosen is always among
 * them.
 */
export function facetsOf(
  matches: Matches | undefined,
  hits: readonly Pick<ImageResult, "folder">[],
  chosen: readonly string[],
): Facet[] {
  const counts = matches?.folders.length ? countsOf(matches) : null;
  const facet = (folder: string): Facet => ({ folder, count: counts && (counts.get(folder) ?? 0) });
  const folders =
    counts && matches ? matches.folders.map(({ path }) => path) : new Set(hits.map((each) => each.folder));
  const found = [...folders].map(facet).sort((a, b) => (b.count ?? 0) - (a.count ?? 0));
  const isChosen = ({ folder }: Facet) => chosen.includes(folder);
  const missing = chosen.filter((folder) => !found.some((each) => each.folder === folder));
  const first = [...found.filter(isChosen), ...missing.map(facet)];
  const shown = found.filter((each) => !isChosen(each)).slice(0, Math.max(0, MOST_FACETS - first.length));
  const order = [...found, ...first];
  return [...first, ...shown].sort((a, b) => order.indexOf(a) - order.indexOf(b));
}
