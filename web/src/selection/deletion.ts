import { libraryChanged } from "../api/changes";
import { answer, api, type Schemas } from "../api/client";
import { forget, remember } from "./deleted-lately";

/** Pictures by their ids, or all that filters (and a query) find. */
export type Meant = Pick<Schemas["DeletePictures"], "image_ids" | "filters" | "query" | "limit" | "min_score">;

/** `undo`: ids of the deletions that can be undone; none where the service keeps no trash. */
export interface Deleted {
  count: number;
  undo: string[];
  /** Why some pictures are still there. */
  error: string | null;
}

type OnProgress = (count: number, total: number) => void;

const MOST_IDS = 10_000;
const POLL_MS = 700;

/** One request takes 10,000 ids. */
export function partsOf(meant: Meant): Meant[] {
  const { image_ids: ids } = meant;
  if (!ids) return [meant];
  return Array.from({ length: Math.ceil(ids.length / MOST_IDS) }, (_, i) => ({
    image_ids: ids.slice(i * MOST_IDS, (i + 1) * MOST_IDS),
  }));
}

/** How many pictures a deletion would take. Raises ServiceError; 403 where that is not allowed. */
export async function countOf(meant: Meant): Promise<number> {
  let total = 0;
  for (const part of partsOf(meant)) {
    total += (await answer(api.POST("/api/v1/images/deletions", { body: { ...part, dry_run: true } }))).total;
  }
  return total;
}

async function follow(deletion: Schemas["DeletionInfo"], onProgress: (count: number) => void) {
  let now = deletion;
  while (now.state === "running" && now.deletion_id) {
    onProgress(now.count);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const path = { deletion_id: now.deletion_id };
    now = await answer(api.GET("/api/v1/images/deletions/{deletion_id}", { params: { path } }));
  }
  onProgress(now.count);
  return now;
}

/** Deletes them, to the end. What can be undone is remembered in this browser. Raises ServiceError. */
export async function deletePictures(meant: Meant, onProgress: OnProgress, total: number): Promise<Deleted> {
  const deleted: Deleted = { count: 0, undo: [], error: null };
  try {
    for (const part of partsOf(meant)) {
      const before = deleted.count;
      const begun = await answer(api.POST("/api/v1/images/deletions", { body: part }));
      const ended = await follow(begun, (count) => onProgress(before + count, total));
      deleted.count += ended.count;
      if (ended.can_undo && ended.deletion_id) deleted.undo.push(ended.deletion_id);
      deleted.error ??= ended.error ?? null;
    }
  } finally {
    if (deleted.undo.length) remember({ ids: deleted.undo, count: deleted.count, at: Date.now() });
    await libraryChanged();
  }
  return deleted;
}

/** Brings them back. Returns how many are back. Raises ServiceError. */
export async function undoDeletions(ids: string[]): Promise<number> {
  let restored = 0;
  try {
    for (const id of ids) {
      const path = { deletion_id: id };
      const answered = await answer(api.POST("/api/v1/images/deletions/{deletion_id}/undo", { params: { path } }));
      restored += answered.restored.length;
      forget([id]);
    }
  } finally {
    await libraryChanged();
  }
  return restored;
}
