import { expect, it } from "vitest";
import { columnOf, nearestPicture, pictureIn, picturesWithin, regionCentre, rowOf, spreadOut } from "./spread";

/** The same numbers each time. */
function chance(seed: number) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

function clusters(count: number) {
  const next = chance(1);
  const centres = Array.from({ length: 12 }, () => [0.1 + 0.8 * next(), 0.1 + 0.8 * next()] as const);
  const near = (middle: number) => middle + (next() + next() + next() - 1.5) * 0.03;
  const at = Float32Array.from({ length: count }, (_, i) => near(centres[i % 12]?.[0] ?? 0));
  const ys = Float32Array.from({ length: count }, (_, i) => near(centres[i % 12]?.[1] ?? 0));
  return { xs: at, ys };
}

it("each picture has a cell of its own, in a moment", () => {
  const start = performance.now();
  const spread = spreadOut(clusters(10_000));
  expect(performance.now() - start).toBeLessThan(1_000);
  expect(new Set(spread.cellOf).size).toBe(10_000);
  for (let i = 0; i < 10_000; i += 97)
    expect(pictureIn(spread, columnOf(spread, i) + 0.5, rowOf(spread, i) + 0.5)).toBe(i);
});

it("neighbours stay neighbours", () => {
  const spread = spreadOut(clusters(2_400));
  const middle = (cluster: number) => {
    const members = Array.from({ length: 200 }, (_, i) => cluster + 12 * i);
    const mean = (of: typeof columnOf) => members.reduce((sum, each) => sum + of(spread, each), 0) / members.length;
    return { x: mean(columnOf), y: mean(rowOf), members };
  };
  const { x, y, members } = middle(3);
  const away = members.map((each) => Math.hypot(columnOf(spread, each) - x, rowOf(spread, each) - y));
  // 200 cells side by side fill a circle with a radius of 8.
  expect(Math.max(...away)).toBeLessThan(20);
});

it("pictures in the same place lie side by side, and a single one is in the middle", () => {
  const same = spreadOut({ xs: new Float32Array(50), ys: new Float32Array(50) });
  expect(new Set(same.cellOf).size).toBe(50);
  const one = spreadOut({ xs: new Float32Array([0.3]), ys: new Float32Array([0.3]) });
  expect(pictureIn(one, one.columns / 2, one.rows / 2)).toBe(0);
  expect(spreadOut({ xs: new Float32Array(0), ys: new Float32Array(0) }).cellOf).toHaveLength(0);
});

it("what lies at a point, in a rectangle, near a point", () => {
  const spread = spreadOut({ xs: new Float32Array([0, 1, 0, 1]), ys: new Float32Array([0, 0, 1, 1]) });
  expect(pictureIn(spread, -1, 0)).toBe(-1);
  expect(picturesWithin(spread, 0, 0, spread.columns, spread.rows).sort()).toEqual([0, 1, 2, 3]);
  expect(nearestPicture(spread, spread.columns, spread.rows, 3)).toBe(3);
  expect(nearestPicture(spread, -10, -10, 2)).toBe(-1);
});

it("a region goes where its pictures went", () => {
  const { xs, ys } = clusters(2_400);
  const map = { xs, ys, ids: [], pending: [], regions: [] };
  const spread = spreadOut(map);
  const region = { name: "cats", x: xs[3] ?? 0, y: ys[3] ?? 0, count: 200 };
  const { x, y } = regionCentre(region, map, spread);
  expect(Math.hypot(x - columnOf(spread, 3), y - rowOf(spread, 3))).toBeLessThan(8);
});
