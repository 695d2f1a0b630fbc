import { t } from "@lingui/core/macro";
import type { components } from "./schema";

type Problem = components["schemas"]["Problem"];

/** An error that the service answered (RFC 9457), or that kept its answer away. `status` 0: no answer came. */
export class ServiceError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(detail || title);
    this.name = "ServiceError";
  }
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "title" in value;
}

/** The error in an answer whose status is not a success. */
export function serviceError(response: Response, body: unknown): ServiceError {
  const wait = Number(response.headers.get("Retry-After"));
  const retryAfterS = Number.isFinite(wait) && wait > 0 ? wait : null;
  if (!isProblem(body)) return new ServiceError(response.status, response.statusText, "", null, retryAfterS);
  const requestId = "request_id" in body && typeof body.request_id === "string" ? body.request_id : null;
  return new ServiceError(response.status, body.title, body.detail ?? "", requestId, retryAfterS);
}

export const isServiceError = (error: unknown, ...statuses: number[]): error is ServiceError =>
  error instanceof ServiceError && (!statuses.length || statuses.includes(error.status));

/** What to show a person. */
export function messageOf(error: unknown): string {
  if (isServiceError(error, 0)) return t`The service does not answer. Is it running, and are you online?`;
  return error instanceof Error ? error.message : String(error);
}
