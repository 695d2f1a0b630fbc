import { expect, it } from "vitest";
import { labelOpacity, withoutOverlaps } from "./labels";

it("names that would overlap an earlier one are left out", () => {
  const box = (x: number, y: number) => ({ x, y, width: 80, height: 20 });
  expect(withoutOverlaps([box(100, 100), box(150, 110), box(150, 140), box(200, 100)])).toEqual([
    true,
    false,
    true,
    true,
  ]);
});

it("names fade as pictures grow", () => {
  expect(labelOpacity(20)).toBe(1);
  expect(labelOpacity(110)).toBeCloseTo(0.5);
  expect(labelOpacity(400)).toBe(0);
});
