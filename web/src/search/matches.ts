import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { matchesOf } from "./request";
import type { Search } from "./url";

/** All pictures that fit a search. No error is shown where that is not known: the hits are there all the same. */
export function useMatches(search: Search) {
  const { session: _, sort: __, ...asked } = search;
  return useQuery({
    queryKey: ["search", "matches", asked],
    queryFn: ({ signal }) => matchesOf(search, signal),
    placeholderData: keepPreviousData,
  });
}
