import { describe, expect, it } from "vitest";
import { neighbourInRows, rowsOf } from "./rows";

const sizes = Array.from({ length: 40 }, (_, i) => ({ width: 300 + ((i * 97) % 400), height: 300 }));

describe("rows", () => {
  it("hold every picture once, in order, and fill the width", () => {
    const rows = rowsOf(sizes, 1000);
    expect(rows.flatMap((row) => row.boxes.map((_, i) => row.first + i))).toEqual(sizes.map((_, i) => i));
    for (const row of rows.slice(0, -1)) {
      const last = row.boxes.at(-1);
      expect((last?.left ?? 0) + (last?.width ?? 0)).toBeCloseTo(1000, 0);
    }
  });

  it("give pictures without a size a square", () => {
    const [row] = rowsOf([{ width: 0, height: 0 }], 500);
    expect(row?.boxes[0]?.width).toBeCloseTo(row?.boxes[0]?.height ?? 0);
  });

  it("take ten thousand pictures in less than a frame of patience", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ width: 300 + ((i * 97) % 400), height: 300 }));
    expect(rowsOf(many, 1400).at(-1)?.boxes.length).toBeGreaterThan(0);
  });
});

describe("the neighbour in the next row", () => {
  const rows = rowsOf(sizes, 1000);

  it("lies below, and the way back leads to the row it came from", () => {
    const below = neighbourInRows(rows, 1, 1);
    expect(below).toBeGreaterThanOrEqual(rows[1]?.first ?? -1);
    expect(neighbourInRows(rows, below, -1)).toBeLessThan(rows[1]?.first ?? -1);
  });

  it("is the picture itself at the edge", () => {
    expect(neighbourInRows(rows, 0, -1)).toBe(0);
  });
});
