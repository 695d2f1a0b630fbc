import { QueryClient } from "@tanstack/react-query";
import { isServiceError } from "../api/problems";

const RETRIES = 2;

/** Only answers that may differ a moment later are asked for again: no answer, 502, 503, 504. */
function worthRetrying(failures: number, error: unknown): boolean {
  return failures < RETRIES && isServiceError(error, 0, 502, 503, 504);
}

export const queryClient = new QueryClient({
  defaultOptions: { queries: { retry: worthRetrying, staleTime: 30_000, refetchOnWindowFocus: false } },
});
