import {
  createParser,
  parseAsBoolean,
  parseAsNativeArrayOf,
  parseAsString,
  parseAsStringLiteral,
  useQueryStates,
} from "nuqs";

export const KINDS = ["text", "picture", "url", "upload"] as const;

/** Something beside the words of the box. `value`: words, an image id, an address, or the id of an upload. */
export interface Term {
  kind: (typeof KINDS)[number];
  value: string;
  /** Below 0: taken away. */
  weight: number;
  /** Leaves out what is relevant to it, which is more than taking away. */
  exclude?: boolean;
}

const WRITTEN = /^(!|-|-?\d+(?:\.\d+)?\*)?(text|picture|url|upload):(.+)$/s;
const HEAVIEST = 10;

/** `picture:9f2c`, `-text:people`, `0.5*url:https://…`, `!text:people` (excluded). */
export function writeTerm({ kind, value, weight, exclude }: Term): string {
  const sign = exclude ? "!" : weight === 1 ? "" : weight === -1 ? "-" : `${Number(weight.toFixed(2))}*`;
  return `${sign}${kind}:${value}`;
}

/** Null for what `writeTerm` does not write. */
export function readTerm(written: string): Term | null {
  const [, sign = "", kind, value] = WRITTEN.exec(written) ?? [];
  if (!kind || !value) return null;
  const term = { kind: kind as Term["kind"], value };
  if (sign === "!") return { ...term, weight: -1, exclude: true };
  const weight = sign === "" ? 1 : sign === "-" ? -1 : Number(sign.slice(0, -1));
  return weight && Math.abs(weight) <= HEAVIEST ? { ...term, weight } : null;
}

const parseAsTerm = createParser<Term>({
  parse: readTerm,
  serialize: writeTerm,
  eq: (a, b) => writeTerm(a) === writeTerm(b),
});

export const MODES = ["vector", "hybrid", "words"] as const;
export const SORTS = ["score", "newest", "oldest"] as const;

const PARSERS = {
  q: parseAsString.withDefault(""),
  term: parseAsNativeArrayOf(parseAsTerm),
  folder: parseAsNativeArrayOf(parseAsString),
  /** Whether a folder that the words point at is searched alone. */
  guess: parseAsBoolean.withDefault(true),
  mode: parseAsStringLiteral(MODES).withDefault("vector"),
  sort: parseAsStringLiteral(SORTS).withDefault("score"),
  /** One of each photo. */
  fold: parseAsBoolean.withDefault(false),
  /** A picture has to fit all terms. */
  all: parseAsBoolean.withDefault(false),
  /** Reads `-word` and `without …` as what to take away. */
  minus: parseAsBoolean.withDefault(true),
  session: parseAsString,
};

/** The search that the address holds: to share it is to share the address. */
export function useSearchState() {
  return useQueryStates(PARSERS, { history: "push", shallow: true, clearOnDefault: true });
}

export type Search = ReturnType<typeof useSearchState>[0];
export type ChangeSearch = ReturnType<typeof useSearchState>[1];

export const isEmpty = ({ q, term, session }: Search) => !q.trim() && !term.length && !session;

/** The address of a search for these terms, for links from other pages. */
export function searchPath(parts: { q?: string; terms?: Term[] }): string {
  const parameters = new URLSearchParams();
  if (parts.q) parameters.set("q", parts.q);
  for (const each of parts.terms ?? []) parameters.append("term", writeTerm(each));
  return `/?${parameters}`;
}

/** The address of a search for pictures like these. */
export const searchLike = (...ids: string[]): string =>
  searchPath({ terms: ids.map((value) => ({ kind: "picture", value, weight: 1 })) });
