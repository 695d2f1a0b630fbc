import { expect, it } from "vitest";
import { ServiceError } from "../../api/problems";
import { busyJob, readReport } from "./job";

it("a report is read, also one with fields that are missing or strange", () => {
  const report = readReport({ added: 3, skipped: [{ key: "a.jpg", reason: "broken" }, 5], failed: "no", took_s: 1.5 });
  expect(report).toMatchObject({ added: 3, removed: 0, failed: [], tookS: 1.5 });
  expect(report.skipped).toEqual([{ key: "a.jpg", reason: "broken" }]);
});

it("a refusal names the run that is going on", () => {
  const detail = "Index job 0132b4ff is running. Follow it at /api/v1/index/jobs/0132b4ff.";
  expect(busyJob(new ServiceError(409, "An index run is going on", detail))).toBe("0132b4ff");
  expect(busyJob(new ServiceError(501, "Not configured", detail))).toBeNull();
});
