/** What of the world is seen: the point in the middle of the view, and how many CSS pixels a cell is wide. */
export interface Camera {
  x: number;
  y: number;
  scale: number;
}

/** In CSS pixels. */
export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** How far a camera may go: scales, and the world that its middle stays in. */
export interface Bounds {
  least: number;
  most: number;
  world: Box;
}

export const toWorld = (camera: Camera, view: Size, at: Point): Point => ({
  x: camera.x + (at.x - view.width / 2) / camera.scale,
  y: camera.y + (at.y - view.height / 2) / camera.scale,
});

export const toScreen = (camera: Camera, view: Size, at: Point): Point => ({
  x: view.width / 2 + (at.x - camera.x) * camera.scale,
  y: view.height / 2 + (at.y - camera.y) * camera.scale,
});

/** The part of the world that is in view. */
export function seen(camera: Camera, view: Size): Box {
  const [width, height] = [view.width / 2 / camera.scale, view.height / 2 / camera.scale];
  return { left: camera.x - width, top: camera.y - height, right: camera.x + width, bottom: camera.y + height };
}

const between = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value));

export const clamped = (camera: Camera, { least, most, world }: Bounds): Camera => ({
  x: between(camera.x, world.left, world.right),
  y: between(camera.y, world.top, world.bottom),
  scale: between(camera.scale, least, most),
});

/** Nearer by `factor`, while the point of the world at `at` stays where it is. */
export function zoomedAt(camera: Camera, view: Size, at: Point, factor: number, bounds: Bounds): Camera {
  const scale = between(camera.scale * factor, bounds.least, bounds.most);
  const fixed = toWorld(camera, view, at);
  const moved = {
    x: fixed.x - (at.x - view.width / 2) / scale,
    y: fixed.y - (at.y - view.height / 2) / scale,
    scale,
  };
  return clamped(moved, bounds);
}

/** As if the world were pushed by this number of pixels. */
export const panned = (camera: Camera, x: number, y: number): Camera => ({
  ...camera,
  x: camera.x - x / camera.scale,
  y: camera.y - y / camera.scale,
});

/** The whole box in view, with an edge of `padding` pixels on each side. */
export function fitted(box: Box, view: Size, padding: number): Camera {
  const across = (view.width - 2 * padding) / (box.right - box.left || 1);
  const down = (view.height - 2 * padding) / (box.bottom - box.top || 1);
  return {
    x: (box.left + box.right) / 2,
    y: (box.top + box.bottom) / 2,
    scale: Math.max(Math.min(across, down), 0.01),
  };
}

/**
 * A part `t` (0 to 1) of the way from one camera to another. Points that both show at the same place stay there all the
 * way: the middle moves linearly with 1 / scale.
 */
export function approached(from: Camera, to: Camera, t: number): Camera {
  const scale = from.scale * (to.scale / from.scale) ** t;
  const whole = 1 / to.scale - 1 / from.scale;
  const part = Math.abs(whole * from.scale) < 1e-6 ? t : (1 / scale - 1 / from.scale) / whole;
  return { x: from.x + (to.x - from.x) * part, y: from.y + (to.y - from.y) * part, scale };
}

/** Whether the difference is too small to see: half a pixel, a thousandth of the scale. */
export function isSame(a: Camera, b: Camera): boolean {
  const far = Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) * b.scale;
  return far < 0.5 && Math.abs(a.scale / b.scale - 1) < 1e-3;
}
