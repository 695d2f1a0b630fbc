import { expect, it } from "vitest";
import { facetsOf } from "./facets";

it("counts hits by folder, the fullest first", () => {
  const hits = ["b", "a", "b", "", "c", "a", "b"].map((folder) => ({ folder }));
  expect(facetsOf(hits)).toEqual([
    { folder: "b", count: 3 },
    { folder: "a", count: 2 },
    { folder: "", count: 1 },
    { folder: "c", count: 1 },
  ]);
});
