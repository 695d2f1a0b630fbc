import { expect, it } from "vitest";
import { boxOf, extended, isInside } from "./lasso";

const U_SHAPE = [
  { x: 0, y: 0 },
  { x: 10, y: 0 },
  { x: 10, y: 10 },
  { x: 7, y: 10 },
  { x: 7, y: 3 },
  { x: 3, y: 3 },
  { x: 3, y: 10 },
  { x: 0, y: 10 },
];

it("inside and outside of a shape with a bay", () => {
  expect(isInside(U_SHAPE, 1, 9)).toBe(true);
  expect(isInside(U_SHAPE, 8, 9)).toBe(true);
  expect(isInside(U_SHAPE, 5, 1)).toBe(true);
  expect(isInside(U_SHAPE, 5, 9)).toBe(false);
  expect(isInside(U_SHAPE, 11, 5)).toBe(false);
  expect(isInside([], 0, 0)).toBe(false);
});

it("the box around it", () => {
  expect(boxOf(U_SHAPE)).toEqual({ left: 0, top: 0, right: 10, bottom: 10 });
});

it("a trembling hand adds no points", () => {
  const path = extended([], { x: 0, y: 0 });
  expect(extended(path, { x: 1, y: 1 })).toBe(path);
  expect(extended(path, { x: 10, y: 0 })).toHaveLength(2);
});
