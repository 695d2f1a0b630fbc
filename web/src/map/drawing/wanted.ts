import { CELLS, type Cell } from "./atlas";

/** Share of its size to which a picture may be enlarged before sharper pixels are asked for. */
const ENLARGED = 1.25;

/** The smallest cells that are sharp where a cell has this width in device pixels; null: thumbnails are needed. */
export function cellsFor(pixels: number): Cell | null {
  return CELLS.find((cell) => pixels <= cell * ENLARGED) ?? null;
}

/** Pages of the pictures in view, the ones that show most of them first. */
export function pagesFor(visible: readonly number[], pageOf: Int16Array, most: number): number[] {
  const counts = new Map<number, number>();
  for (const picture of visible) {
    const page = pageOf[picture] ?? -1;
    if (page >= 0) counts.set(page, (counts.get(page) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || a - b)
    .slice(0, most)
    .map(([page]) => page);
}

/** Which of `kept` to give up for something new: the one that was wanted longest ago, never one that is wanted now. */
export function leastWanted<K>(kept: ReadonlyMap<K, number>, now: number): K | null {
  let [oldest, at] = [null as K | null, now];
  for (const [key, last] of kept) if (last < at) [oldest, at] = [key, last];
  return oldest;
}
