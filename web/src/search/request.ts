import { answer, api, type Schemas, type SearchResult } from "../api/client";
import { dataAddress, uploadOf } from "./uploads";
import type { Search, Term } from "./url";

type Body = Schemas["ComposedSearch"];
type BodyTerm = Schemas["SearchTerm"];

/** How many hits a page brings. */
export const PAGE = 60;

/** A picture of the address that is only in another browser. */
export class UploadGone extends Error {
  constructor() {
    super("upload gone");
    this.name = "UploadGone";
  }
}

/** What a term of weight -1 counts: more would find what is far from it, not what is looked for. As the service reads `-word`. */
const MINUS = 0.3;

async function bodyTerm({ kind, value, weight, exclude = false }: Term): Promise<BodyTerm> {
  const rest = { weight: weight < 0 ? MINUS * weight : weight, ...(exclude && { exclude }) };
  if (kind === "text") return { text: value, ...rest };
  if (kind === "picture") return { image_id: value, ...rest };
  if (kind === "url") return { url: value, ...rest };
  const upload = await uploadOf(value);
  if (!upload) throw new UploadGone();
  return { image: await dataAddress(upload.blob), ...rest };
}

/** The terms of a search: its words first. */
export async function bodyTerms(search: Pick<Search, "q" | "term">): Promise<BodyTerm[]> {
  const words: BodyTerm[] = search.q.trim() ? [{ text: search.q.trim(), weight: 1 }] : [];
  return [...words, ...(await Promise.all(search.term.map(bodyTerm)))];
}

/** Whether there are words to look for in names and captions. */
export const hasWords = (search: Pick<Search, "q" | "term">): boolean =>
  Boolean(search.q.trim()) || search.term.some((each) => each.kind === "text" && each.weight > 0);

/** Only a picture can find itself. */
const hasPictures = ({ term }: Pick<Search, "term">): boolean => term.some((each) => each.kind !== "text");

/** What is searched for; /search and /search/matches take it alike. */
const askedFor = async (search: Search) => ({
  terms: await bodyTerms(search),
  folders: search.folder,
  auto_folder: search.guess && !search.folder.length,
  mode: hasWords(search) ? search.mode : "vector",
  fold_duplicates: search.fold,
  combine: search.all ? ("all" as const) : ("sum" as const),
  minus_words: search.minus,
  ...(hasPictures(search) && { leave_out_queried: true }),
});

export const bodyOf = async (search: Search): Promise<Body> => ({
  ...(await askedFor(search)),
  k: PAGE,
  sort: search.sort,
});

/** One page of hits. Raises ServiceError (410: the library has changed too much, search again) and UploadGone. */
export async function searchPage(search: Search, cursor: string | null, signal: AbortSignal): Promise<SearchResult> {
  const body = cursor ? { cursor, k: PAGE } : await bodyOf(search);
  return answer(api.POST("/api/v1/search", { body, signal }));
}

/** All pictures that fit a search, and where they lie. Raises ServiceError (501, 503: it is not known what fits) and UploadGone. */
export async function matchesOf(search: Search, signal: AbortSignal): Promise<Schemas["MatchingPictures"]> {
  const body = await askedFor(search);
  return answer(api.POST("/api/v1/search/matches", { body, signal }));
}
