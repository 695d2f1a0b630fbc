import type { Point } from "./camera";

/** The name of a region, where its pictures are. */
export interface Label extends Point {
  text: string;
  /** Pictures in the region: where two names would overlap, the one of more pictures stays. */
  count: number;
}

export interface LabelBox extends Point {
  width: number;
  height: number;
}

const GAP_PX = 8;

/** Names fade while pictures grow from the first of these sizes to the second, pixels. */
const FADE_PX = [70, 150] as const;

/** How much names are seen where pictures are so large. */
export function labelOpacity(cellPx: number): number {
  const [from, to] = FADE_PX;
  return Math.min(1, Math.max(0, (to - cellPx) / (to - from)));
}

/** Which boxes (`x`, `y`: their middles) can stand without overlapping. The first ones go before. */
export function withoutOverlaps(boxes: readonly LabelBox[]): boolean[] {
  const kept: LabelBox[] = [];
  return boxes.map((box) => {
    const free = kept.every(
      (each) =>
        Math.abs(each.x - box.x) >= (each.width + box.width) / 2 + GAP_PX ||
        Math.abs(each.y - box.y) >= (each.height + box.height) / 2 + GAP_PX,
    );
    if (free) kept.push(box);
    return free;
  });
}
