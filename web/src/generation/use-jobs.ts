import { useEffect, useRef, useState } from "react";
import { libraryChanged } from "../api/changes";
import { answer, api } from "../api/client";
import { isServiceError } from "../api/problems";
import { tellFailure } from "../parts/toasts";
import { follow, isOver, type Job, jobOf, type Wish } from "./job";

const NAME = "image2search-generations";
const MOST = 12;

/** Ids of the jobs that this tab has started, the newest first. */
function started(): string[] {
  const stored: unknown = JSON.parse(sessionStorage.getItem(NAME) ?? "[]");
  return Array.isArray(stored) ? stored.filter((each) => typeof each === "string") : [];
}

const remember = (ids: string[]) => sessionStorage.setItem(NAME, JSON.stringify(ids.slice(0, MOST)));

/** The jobs of this tab, each followed until it is over. */
export function useJobs() {
  const [jobs, setJobs] = useState<Job[]>([]);
  const stop = useRef(new AbortController());

  const change = (job: Job) => setJobs((list) => list.map((each) => (each.id === job.id ? job : each)));
  const add = (job: Job) => {
    setJobs((list) => [job, ...list.filter((each) => each.id !== job.id)]);
    const { signal } = stop.current;
    follow(job, change, signal)
      .then(() => (job.save_to_folder === null ? undefined : libraryChanged()))
      .catch((error) => signal.aborted || tellFailure(error));
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: what this tab has started is read once
  useEffect(() => {
    stop.current = new AbortController();
    const { signal } = stop.current;
    const load = async () => {
      const found: string[] = [];
      for (const id of started().reverse()) {
        try {
          add(await jobOf(id, signal));
          found.unshift(id);
        } catch (error) {
          if (signal.aborted) return;
          if (!isServiceError(error, 404)) tellFailure(error);
        }
      }
      remember(found);
    };
    void load();
    return () => stop.current.abort();
  }, []);

  return {
    jobs,
    start: async (body: Wish) => {
      const job = await answer(api.POST("/api/v1/generations", { body }));
      remember([job.id, ...started()]);
      add(job);
    },
    cancel: async ({ id }: Job) => {
      try {
        change(
          await answer(api.DELETE("/api/v1/generations/{generation_id}", { params: { path: { generation_id: id } } })),
        );
      } catch (error) {
        tellFailure(error);
      }
    },
    save: async ({ id }: Job, folder: string) => {
      const path = { generation_id: id };
      change(
        await answer(api.POST("/api/v1/generations/{generation_id}/save", { params: { path }, body: { folder } })),
      );
      await libraryChanged();
    },
    busy: jobs.some((each) => !isOver(each)),
  };
}
