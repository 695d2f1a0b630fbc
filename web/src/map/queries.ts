import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { answer, api, type Schemas } from "../api/client";
import { isServiceError } from "../api/problems";
import { type MapData, readMap } from "./map-data";

const ASK_AGAIN_MS = 6_000;
/** How many are lit up where nothing fits, or where it is not known what fits. */
const NEAREST = 12;

let last: MapData | null = null;

const isSame = (a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean =>
  a.length === b.length && Array.prototype.every.call(a, (value: unknown, i: number) => value === b[i]);

/** The map. Its ids are the same object as before where the pictures are the same, and so are its coordinates. */
async function load(signal: AbortSignal): Promise<MapData> {
  const call = api.GET("/api/v1/map", { params: { query: { format: "binary" } }, parseAs: "arrayBuffer", signal });
  const map = readMap((await answer(call)) as unknown as ArrayBuffer);
  if (last && isSame(last.ids, map.ids)) {
    map.ids = last.ids;
    if (isSame(last.xs, map.xs) && isSame(last.ys, map.ys)) Object.assign(map, { xs: last.xs, ys: last.ys });
  }
  last = map;
  return map;
}

/** The map; asked for again while the service still works on it. */
export const useMap = () =>
  useQuery({
    queryKey: ["map"],
    queryFn: ({ signal }) => load(signal),
    structuralSharing: false,
    refetchInterval: ({ state }) => (state.data?.pending.length ? ASK_AGAIN_MS : false),
  });

export interface Hits {
  ids: string[];
  /** all: all that fit; best: more may fit; none: nothing fits well, these are the nearest; unknown: the nearest, which may fit. */
  fitting: "all" | "best" | "none" | "unknown";
}

type Terms = Schemas["SearchTerm"][];

/** What fits; null where the service does not know it. */
async function matches(terms: Terms, signal: AbortSignal): Promise<Schemas["MatchingPictures"] | null> {
  try {
    return await answer(api.POST("/api/v1/search/matches", { body: { terms }, signal }));
  } catch (error) {
    if (isServiceError(error, 501, 503)) return null;
    throw error;
  }
}

async function search(text: string, signal: AbortSignal): Promise<Hits> {
  const terms = [{ text, weight: 1 }];
  const found = await matches(terms, signal);
  if (found?.image_ids.length) return { ids: found.image_ids, fitting: found.is_whole ? "all" : "best" };
  const nearest = await answer(api.POST("/api/v1/search", { body: { terms, k: NEAREST }, signal }));
  const fitting = found || nearest.good_match === false ? "none" : "unknown";
  return { ids: nearest.results.map((each) => each.image_id), fitting };
}

/** All pictures that fit the words, or else the nearest ones. */
export const useHits = (text: string) =>
  useQuery({ queryKey: ["search", "map", text], queryFn: ({ signal }) => search(text, signal), enabled: text !== "" });

/** What is known of a picture; nothing is asked for while `id` is null. */
export const usePicture = (id: string | null) =>
  useQuery({
    queryKey: ["picture", id],
    queryFn: () => answer(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: id ?? "" } } })),
    enabled: id !== null,
  });

/** The numbers that the map gives to pictures. */
export function useNumbers(ids: readonly string[]): (wanted: Iterable<string>) => number[] {
  return useMemo(() => {
    const numbers = new Map(ids.map((id, i) => [id, i]));
    return (wanted) => [...wanted].flatMap((id) => numbers.get(id) ?? []);
  }, [ids]);
}
