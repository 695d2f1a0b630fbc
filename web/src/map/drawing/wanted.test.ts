import { expect, it } from "vitest";
import { cellsFor, leastWanted, pagesFor } from "./wanted";

it("cells that are sharp enough", () => {
  expect([5, 40, 41, 80, 150, 161].map(cellsFor)).toEqual([32, 32, 64, 64, 128, null]);
});

it("pages that show most of what is in view", () => {
  const pageOf = Int16Array.from([0, 0, 1, 2, 2, 2, -1]);
  expect(pagesFor([0, 2, 3, 4, 6], pageOf, 2)).toEqual([2, 0]);
  expect(pagesFor([], pageOf, 2)).toEqual([]);
});

it("what was wanted longest ago gives way", () => {
  const kept = new Map([
    ["a", 3],
    ["b", 1],
    ["c", 5],
  ]);
  expect(leastWanted(kept, 5)).toBe("b");
  expect(leastWanted(new Map([["c", 5]]), 5)).toBeNull();
});
