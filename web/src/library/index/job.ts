import { useMutation, useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { answer, api, type Schemas } from "../../api/client";
import { isServiceError } from "../../api/problems";

export type JobInfo = Schemas["JobInfo"];
export type Options = Schemas["IndexRun"];

/** A picture that is not in the index, or not as it should be. */
export interface Unindexed {
  key: string;
  reason: string;
}

/** What a run did, as `app/indexing/messages.py` has it. */
export interface Report {
  added: number;
  changed: number;
  removed: number;
  unchanged: number;
  moved: number;
  captioned: number;
  vanished: number;
  left: number;
  tookS: number;
  skipped: Unindexed[];
  failed: Unindexed[];
  captionFailed: Unindexed[];
  damaged: Unindexed[];
}

const numberIn = (value: unknown): number => (typeof value === "number" ? value : 0);

function listIn(value: unknown): Unindexed[] {
  if (!Array.isArray(value)) return [];
  return value.filter((each): each is Unindexed => typeof each?.key === "string" && typeof each.reason === "string");
}

/** A service of another version may leave out fields. */
export const readReport = (report: NonNullable<JobInfo["report"]>): Report => ({
  added: numberIn(report.added),
  changed: numberIn(report.changed),
  removed: numberIn(report.removed),
  unchanged: numberIn(report.unchanged),
  moved: numberIn(report.moved),
  captioned: numberIn(report.captioned),
  vanished: numberIn(report.vanished),
  left: numberIn(report.left),
  tookS: numberIn(report.took_s),
  skipped: listIn(report.skipped),
  failed: listIn(report.failed),
  captionFailed: listIn(report.caption_failed),
  damaged: listIn(report.damaged),
});

/** The run that another person or tab has started, as the refusal names it. */
export const busyJob = (error: unknown): string | null =>
  isServiceError(error, 409) ? (/index\/jobs\/([0-9a-f]+)/.exec(error.detail)?.[1] ?? null) : null;

/** Whether the run stopped because too many pictures are gone. */
export const refusedToShrink = (error: string): boolean => error.includes("--allow-shrink");

const NAME = "image2search-index-job";
const listeners = new Set<() => void>();

/** The run that this tab follows, also after a reload. */
const followed = {
  current: () => sessionStorage.getItem(NAME),
  set(id: string | null) {
    if (id) sessionStorage.setItem(NAME, id);
    else sessionStorage.removeItem(NAME);
    for (const each of listeners) each();
  },
  subscribe(changed: () => void) {
    listeners.add(changed);
    return () => void listeners.delete(changed);
  },
};

export const forgetJob = () => followed.set(null);

const POLL_MS = 500;
export const isRunning = (job: JobInfo | undefined) => job?.state === "queued" || job?.state === "running";

/** The run that is followed, as it goes on; null while there is none. */
export function useJob() {
  const id = useSyncExternalStore(followed.subscribe, followed.current);
  const job = useQuery({
    queryKey: ["job", id],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/index/jobs/{job_id}", { params: { path: { job_id: id ?? "" } }, signal })),
    enabled: id !== null,
    refetchInterval: ({ state }) =>
      isServiceError(state.error, 404) || (state.data && !isRunning(state.data)) ? false : POLL_MS,
  });
  return id ? job : null;
}

/** Starts a run, and follows it; or the one that is going on. */
export const useStart = () =>
  useMutation({
    mutationFn: (options: Options) => answer(api.POST("/api/v1/index/jobs", { body: options })),
    onSuccess: ({ id }) => followed.set(id),
    onError: (error) => {
      const id = busyJob(error);
      if (id) followed.set(id);
    },
  });
