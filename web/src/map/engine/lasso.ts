import type { Box, Point } from "./camera";

/** Points nearer than this to the one before are left out of a path, pixels. */
const LEAST_STEP_PX = 3;

/** The path with one more point; the same path where the point is too near to the last one. */
export function extended(path: readonly Point[], point: Point): readonly Point[] {
  const last = path.at(-1);
  if (last && Math.hypot(point.x - last.x, point.y - last.y) < LEAST_STEP_PX) return path;
  return [...path, point];
}

export function boxOf(polygon: readonly Point[]): Box {
  const xs = polygon.map((each) => each.x);
  const ys = polygon.map((each) => each.y);
  return { left: Math.min(...xs), top: Math.min(...ys), right: Math.max(...xs), bottom: Math.max(...ys) };
}

/** Whether a point is inside a closed polygon (even-odd rule), which may cross itself. */
export function isInside(polygon: readonly Point[], x: number, y: number): boolean {
  let inside = false;
  let previous = polygon.at(-1);
  for (const each of polygon) {
    if (previous && each.y > y !== previous.y > y) {
      const crossing = each.x + ((y - each.y) / (previous.y - each.y)) * (previous.x - each.x);
      if (x < crossing) inside = !inside;
    }
    previous = each;
  }
  return inside;
}
