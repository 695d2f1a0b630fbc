import { useQuery } from "@tanstack/react-query";
import { answer, api } from "./client";
import { isServiceError } from "./problems";

/** A dry run that means no picture: it is refused where pictures may not be changed, and changes nothing where they may. */
async function isRefused(): Promise<boolean> {
  try {
    await answer(api.POST("/api/v1/images/deletions", { body: { image_ids: ["0"], dry_run: true } }));
    return false;
  } catch (error) {
    if (isServiceError(error, 403)) return true;
    if (isServiceError(error, 401, 503)) return false;
    throw error;
  }
}

/** Whether the service (or the key) refuses to add, change and delete pictures. False until that is known. */
export function useReadOnly(): boolean {
  return useQuery({ queryKey: ["read-only"], queryFn: isRefused, staleTime: Number.POSITIVE_INFINITY }).data ?? false;
}
