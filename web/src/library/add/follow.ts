import { API } from "../../api/addresses";
import { answer, api, type Schemas } from "../../api/client";
import { eventsOf } from "../../api/events";
import { isServiceError } from "../../api/problems";

export type ImportInfo = Schemas["ImportInfo"];
export type ImportedItem = Schemas["ImportedItem"];

const BREAK_MS = 1500;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Follows an import to its end, also across broken connections, and returns what became of each picture.
 * Raises ServiceError (404: the service was started anew and knows it no more) and AbortError.
 */
export async function followImport(
  id: string,
  onPicture: (item: ImportedItem) => void,
  signal: AbortSignal,
): Promise<ImportInfo> {
  let last: string | null = null;
  for (let over = false; !over; ) {
    try {
      for await (const { event, data, id: number } of eventsOf(`${API}/images/import/${id}/events`, signal, last)) {
        last = number ?? last;
        if (event === "picture") onPicture(data as ImportedItem);
        over ||= event === "done";
      }
    } catch (error) {
      const broken = !isServiceError(error) || isServiceError(error, 0, 502, 503, 504);
      if (signal.aborted || !broken) throw error;
    }
    if (!over) await pause(BREAK_MS);
  }
  return answer(api.GET("/api/v1/images/import/{import_id}", { params: { path: { import_id: id } }, signal }));
}

/** What was added before stays. Returns the import when it is over. Raises ServiceError. */
export const cancelImport = (id: string): Promise<ImportInfo> =>
  answer(api.DELETE("/api/v1/images/import/{import_id}", { params: { path: { import_id: id } } }));
