import { queryClient } from "../app/query-client";

const SHOW_PICTURES = ["folders", "images", "search", "picture", "duplicates", "index", "map"];

/** Pictures came, went or changed: what shows them is asked for anew. Query keys begin with one of these words. */
export async function libraryChanged(): Promise<void> {
  await Promise.all(SHOW_PICTURES.map((first) => queryClient.invalidateQueries({ queryKey: [first] })));
}
