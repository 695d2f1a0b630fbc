import { expect, it } from "vitest";
import { Motion } from "./motion";

const BOUNDS = { least: 1, most: 100, world: { left: 0, top: 0, right: 50, bottom: 50 } };
const START = { x: 25, y: 25, scale: 10 };

it("goes there in a while, and then rests", () => {
  const motion = new Motion(START, BOUNDS, () => true);
  motion.go({ x: 30, y: 20, scale: 40 });
  motion.step(16);
  expect(motion.camera.scale).toBeGreaterThan(10);
  expect(motion.camera.scale).toBeLessThan(40);
  let frames = 1;
  for (; motion.isMoving && frames < 200; frames++) motion.step(16);
  expect(motion.camera).toEqual({ x: 30, y: 20, scale: 40 });
  expect(frames).toBeLessThan(100);
});

it("without motion it is there at once", () => {
  const motion = new Motion(START, BOUNDS, () => false);
  motion.go({ x: 30, y: 20, scale: 4000 });
  expect(motion.camera).toEqual({ x: 30, y: 20, scale: 100 });
  expect(motion.isMoving).toBe(false);
});
