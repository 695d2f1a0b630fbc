import { expect, it } from "vitest";
import { after, type Job, shareOf } from "./job";

const progress: Job["progress"] = {
  state: "running",
  phase: "drawing",
  picture: 2,
  n: 4,
  step: 5,
  steps: 10,
  preview: null,
};
const job = { id: "1", state: "running", progress, results: [] } as unknown as Job;

it("tells how far the job is over all its pictures", () => {
  expect(shareOf(job)).toBe(0.375);
  expect(shareOf({ ...job, state: "queued" })).toBeNull();
  expect(shareOf({ ...job, progress: { ...progress, steps: null } })).toBeNull();
});

it("takes in progress, results and the end", () => {
  const moved = after(job, { event: "progress", data: { ...progress, step: 6 }, id: null });
  expect(moved.progress.step).toBe(6);
  const first = {
    number: 1,
    url: "",
    seed: 3,
    width: 96,
    height: 96,
    size_bytes: 9,
    image_id: null,
    object_key: null,
    save_error: null,
  };
  const twice = after(after(job, { event: "result", data: first, id: "1" }), { event: "result", data: first, id: "1" });
  expect(twice.results).toEqual([first]);
  expect(after(job, { event: "done", data: { ...job, state: "succeeded" }, id: null }).state).toBe("succeeded");
  expect(after(job, { event: "failed", data: { error: "x" }, id: null })).toBe(job);
});
