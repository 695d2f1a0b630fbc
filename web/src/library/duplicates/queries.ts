import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { answer, api } from "../../api/client";
import { isServiceError } from "../../api/problems";
import { queryClient } from "../../app/query-client";
import { type Group, type Kind, picturesOf } from "./choice";

const PAGE = 20;
/** The first question compares all pictures with each other, and is refused until that is done. */
const STILL_COMPARING_MS = 3000;

export const isComparing = (error: unknown) => isServiceError(error, 503) && error.title.includes("compared");

/** Groups of one kind, those that free the most first. */
export function useGroups(kind: Kind, dismissed: boolean) {
  return useInfiniteQuery({
    queryKey: ["duplicates", kind, dismissed],
    queryFn: ({ pageParam, signal }) => {
      const query = { kind, dismissed, k: PAGE, ...(pageParam && { cursor: pageParam }) };
      return answer(api.GET("/api/v1/duplicates", { params: { query }, signal }));
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: ({ state }) => (isComparing(state.error) ? STILL_COMPARING_MS : false),
  });
}

const groupsChanged = () => queryClient.invalidateQueries({ queryKey: ["duplicates"] });

/** The group is no group. It stays away until it gets another picture. */
export const useDismissal = () =>
  useMutation({
    mutationFn: (group: Group) => {
      const image_ids = picturesOf(group).map((each) => each.image_id);
      return answer(api.POST("/api/v1/duplicates/dismissals", { body: { kind: group.kind, image_ids } }));
    },
    onSettled: groupsChanged,
  });

export const useRestoration = () =>
  useMutation({
    mutationFn: (dismissalId: string) =>
      answer(
        api.DELETE("/api/v1/duplicates/dismissals/{dismissal_id}", { params: { path: { dismissal_id: dismissalId } } }),
      ),
    onSettled: groupsChanged,
  });
