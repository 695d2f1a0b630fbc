import { API } from "../api/addresses";
import { answer, api, type Schemas } from "../api/client";
import { eventsOf, type ServerEvent } from "../api/events";
import { isServiceError } from "../api/problems";
import type { paths } from "../api/schema";

export type Job = Schemas["GenerationInfo"];
export type Progress = Schemas["GenerationProgress"];
export type Status = Schemas["GenerationStatus"];

/** What `POST /generations` takes. */
export type Wish = paths["/api/v1/generations"]["post"]["requestBody"]["content"]["application/json"];

const BREAK_MS = 1_500;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export const isOver = ({ state }: Pick<Job, "state">) => state !== "queued" && state !== "running";

export const jobOf = (id: string, signal?: AbortSignal): Promise<Job> =>
  answer(api.GET("/api/v1/generations/{generation_id}", { params: { path: { generation_id: id } }, signal }));

/** The job after an event. */
export function after(job: Job, { event, data }: ServerEvent): Job {
  if (event === "progress") {
    const progress = data as Progress;
    return { ...job, state: progress.state, progress };
  }
  if (event === "result") {
    const result = data as Job["results"][number];
    return { ...job, results: [...job.results.filter((each) => each.number !== result.number), result] };
  }
  return event === "done" ? (data as Job) : job;
}

/** Follows a job to its end, also across broken connections. Raises ServiceError and AbortError. */
export async function follow(job: Job, onChange: (job: Job) => void, signal: AbortSignal): Promise<void> {
  let now = job;
  let last: string | null = null;
  while (!isOver(now)) {
    try {
      for await (const event of eventsOf(`${API}/generations/${job.id}/events`, signal, last)) {
        last = event.id ?? last;
        now = after(now, event);
        onChange(now);
      }
    } catch (error) {
      if (signal.aborted || (isServiceError(error) && !isServiceError(error, 0, 502, 503, 504))) throw error;
    }
    if (!isOver(now)) await pause(BREAK_MS);
  }
}

/** How far a job is, 0 to 1; null where it is not known. */
export function shareOf({ state, progress }: Pick<Job, "state" | "progress">): number | null {
  const { picture, n, step, steps } = progress;
  if (state === "queued" || !picture || step === null || !steps) return null;
  return (picture - 1 + step / steps) / n;
}
