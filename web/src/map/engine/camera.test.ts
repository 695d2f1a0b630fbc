import { expect, it } from "vitest";
import { approached, type Camera, fitted, isSame, panned, toScreen, toWorld, zoomedAt } from "./camera";

const VIEW = { width: 800, height: 600 };
const BOUNDS = { least: 1, most: 500, world: { left: 0, top: 0, right: 100, bottom: 100 } };
const CAMERA: Camera = { x: 50, y: 40, scale: 8 };

it("there and back", () => {
  const at = { x: 123, y: 456 };
  const back = toScreen(CAMERA, VIEW, toWorld(CAMERA, VIEW, at));
  expect(back.x).toBeCloseTo(at.x);
  expect(back.y).toBeCloseTo(at.y);
});

it("zooming keeps what is under the pointer, also on the way", () => {
  const at = { x: 600, y: 200 };
  const fixed = toWorld(CAMERA, VIEW, at);
  const near = zoomedAt(CAMERA, VIEW, at, 5, BOUNDS);
  expect(near.scale).toBe(40);
  for (const t of [0, 0.2, 0.5, 0.9, 1]) {
    const screen = toScreen(approached(CAMERA, near, t), VIEW, fixed);
    expect(screen.x).toBeCloseTo(at.x);
    expect(screen.y).toBeCloseTo(at.y);
  }
});

it("the scale has limits, and the middle stays in the world", () => {
  expect(zoomedAt(CAMERA, VIEW, { x: 400, y: 300 }, 1e6, BOUNDS).scale).toBe(500);
  expect(zoomedAt(CAMERA, VIEW, { x: 400, y: 300 }, 1e-6, BOUNDS).scale).toBe(1);
  expect(zoomedAt({ x: 0, y: 0, scale: 100 }, VIEW, { x: 800, y: 600 }, 0.01, BOUNDS)).toMatchObject({ x: 0, y: 0 });
});

it("panning follows the hand", () => {
  expect(panned(CAMERA, 16, -8)).toEqual({ x: 48, y: 41, scale: 8 });
});

it("a box fits with its edge", () => {
  expect(fitted({ left: 0, top: 0, right: 100, bottom: 50 }, VIEW, 50)).toEqual({ x: 50, y: 25, scale: 7 });
});

it("a plain move goes straight, and ends", () => {
  const to = { x: 60, y: 40, scale: 8 };
  expect(approached(CAMERA, to, 0.5).x).toBeCloseTo(55);
  let now = CAMERA;
  for (let i = 0; i < 200 && !isSame(now, to); i++) now = approached(now, to, 0.15);
  expect(isSame(now, to)).toBe(true);
});
