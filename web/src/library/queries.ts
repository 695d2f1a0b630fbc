import { useInfiniteQuery } from "@tanstack/react-query";
import { answer, api, type Schemas } from "../api/client";
import type { operations } from "../api/schema";

export type ListQuery = NonNullable<operations["images_api_v1_images_get"]["parameters"]["query"]>;
export type Filters = Schemas["PictureFilters"];

const PAGE = 100;

/** The pictures that fit, page by page. */
export function useImages(query: Omit<ListQuery, "limit" | "cursor">) {
  return useInfiniteQuery({
    queryKey: ["images", "list", query],
    queryFn: ({ pageParam, signal }) => {
      const parameters = { ...query, limit: PAGE, ...(pageParam && { cursor: pageParam }) };
      return answer(api.GET("/api/v1/images", { params: { query: parameters }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
  });
}
