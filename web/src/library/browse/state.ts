import { createSerializer, parseAsNativeArrayOf, parseAsString, parseAsStringLiteral, useQueryStates } from "nuqs";
import type { Filters, ListQuery } from "../queries";

export const FORMATS = [
  "jpeg",
  "png",
  "webp",
  "gif",
  "heic",
  "avif",
  "tiff",
  "camera raw",
  "bmp",
  "jpeg 2000",
] as const;

/** By the name that the address has for it. */
export const SORTS = {
  name: { sort: "key", order: "asc" },
  newest: { sort: "date", order: "desc" },
  oldest: { sort: "date", order: "asc" },
  added: { sort: "added", order: "desc" },
} as const satisfies Record<string, Pick<ListQuery, "sort" | "order">>;
export type SortName = keyof typeof SORTS;
export const SORT_NAMES = Object.keys(SORTS) as SortName[];

const PARSERS = {
  folder: parseAsString.withDefault(""),
  sort: parseAsStringLiteral(SORT_NAMES).withDefault("name"),
  tag: parseAsNativeArrayOf(parseAsString),
  format: parseAsStringLiteral(FORMATS),
  from: parseAsString,
  to: parseAsString,
};

/** Which part of the library is shown. The address holds it. */
export const useBrowsing = () => useQueryStates(PARSERS, { history: "push", shallow: true, clearOnDefault: true });

export type Browsing = ReturnType<typeof useBrowsing>[0];
export type ChangeBrowsing = ReturnType<typeof useBrowsing>[1];

/** The address of the library with these parts of the state; the others as they are by default. */
export const browsePath = createSerializer(PARSERS);

export const NO_FILTERS = { tag: null, format: null, from: null, to: null } as const;

const DAY = /^\d{4}-\d\d-\d\d$/;

/** What the service is asked for. */
export function filtersOf({ folder, tag, format, from, to }: Browsing): Filters {
  return {
    ...(folder && { folder: [folder] }),
    ...(tag.length && { tag }),
    ...(format && { format: [format] }),
    ...(from && DAY.test(from) && { date_from: from }),
    ...(to && DAY.test(to) && { date_to: to }),
  };
}

export const filterCount = ({ tag, format, from, to }: Browsing) =>
  tag.length + [format, from, to].filter(Boolean).length;
