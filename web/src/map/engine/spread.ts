import type { MapData, Region } from "../map-data";
import type { Box } from "./camera";

/**
 * The pictures on a grid, one a cell, each as near as can be to where it lies on the map: so none hides another, and
 * what is under the pointer is found by its cell. World coordinates are cells: picture i fills the cell `cellOf[i]`.
 */
export interface Spread {
  columns: number;
  rows: number;
  cellOf: Int32Array;
  /** -1: nothing lies there. */
  pictureAt: Int32Array;
}

/** Cells for each picture: more of them keep the gaps between the regions, fewer make the pictures larger. */
const ROOM = 1.9;
/** Part of the pictures on each side that may lie so far out that they would press all others together. */
const OUTLIERS = 0.004;
const MARGIN = 0.06;
const MAX_ASPECT = 1.9;

export const columnOf = (spread: Spread, picture: number): number => (spread.cellOf[picture] ?? 0) % spread.columns;
export const rowOf = (spread: Spread, picture: number): number =>
  Math.floor((spread.cellOf[picture] ?? 0) / spread.columns);

/** The picture in the cell at a point of the world; -1: none. */
export function pictureIn(spread: Spread, x: number, y: number): number {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  if (column < 0 || row < 0 || column >= spread.columns || row >= spread.rows) return -1;
  return spread.pictureAt[row * spread.columns + column] ?? -1;
}

/** The pictures whose cells touch a rectangle. */
export function picturesWithin(spread: Spread, left: number, top: number, right: number, bottom: number): number[] {
  const found: number[] = [];
  const [from, to] = [Math.max(0, Math.floor(left)), Math.min(spread.columns - 1, Math.floor(right))];
  for (let row = Math.max(0, Math.floor(top)); row <= Math.min(spread.rows - 1, Math.floor(bottom)); row++) {
    for (let column = from; column <= to; column++) {
      const picture = spread.pictureAt[row * spread.columns + column] ?? -1;
      if (picture >= 0) found.push(picture);
    }
  }
  return found;
}

/** The cells of these pictures, and what lies between them. */
export function boxOfCells(spread: Spread, pictures: readonly number[]): Box {
  let [left, top, right, bottom] = [spread.columns, spread.rows, 0, 0];
  for (const picture of pictures) {
    const [column, row] = [columnOf(spread, picture), rowOf(spread, picture)];
    left = Math.min(left, column);
    right = Math.max(right, column + 1);
    top = Math.min(top, row);
    bottom = Math.max(bottom, row + 1);
  }
  return { left, top, right, bottom };
}

/** The picture nearest to a point, if one lies within `reach` cells; else -1. */
export function nearestPicture(spread: Spread, x: number, y: number, reach: number): number {
  let [best, bestDistance] = [-1, Number.POSITIVE_INFINITY];
  for (const picture of picturesWithin(spread, x - reach, y - reach, x + reach, y + reach)) {
    const distance = Math.hypot(columnOf(spread, picture) + 0.5 - x, rowOf(spread, picture) + 0.5 - y);
    if (distance < bestDistance) [best, bestDistance] = [picture, distance];
  }
  return best;
}

/**
 * Puts every picture into a cell of its own. The same map and `aspect` (width to height of the view) give the same cells.
 * The axes of such a map mean nothing, so it may be stretched to the view's shape.
 */
export function spreadOut({ xs, ys }: Pick<MapData, "xs" | "ys">, aspect = 1): Spread {
  const count = xs.length;
  const [left, right] = extent(xs);
  const [top, bottom] = extent(ys);
  const shape = Math.min(MAX_ASPECT, Math.max(1 / MAX_ASPECT, aspect));
  const columns = Math.max(1, Math.ceil(Math.sqrt(count * ROOM * shape)));
  const rows = Math.max(1, Math.ceil((count * ROOM) / columns));
  const wanted = { x: scaled(xs, left, right, columns), y: scaled(ys, top, bottom, rows) };
  const spread = { columns, rows, cellOf: new Int32Array(count), pictureAt: new Int32Array(columns * rows).fill(-1) };
  // Where nothing is free up to a distance, nothing will be later: cells never become free.
  const searched = new Uint16Array(columns * rows);
  for (const picture of densestFirst(wanted, columns, rows)) {
    const cell = freeCell(spread, searched, wanted.x[picture] ?? 0, wanted.y[picture] ?? 0);
    spread.cellOf[picture] = cell;
    spread.pictureAt[cell] = picture;
  }
  return spread;
}

function extent(values: Float32Array): [number, number] {
  const sorted = values.slice().sort();
  const out = Math.floor(sorted.length * OUTLIERS);
  return [sorted[out] ?? 0, sorted[sorted.length - 1 - out] ?? 0];
}

function scaled(values: Float32Array, least: number, greatest: number, cells: number): Float32Array {
  const margin = cells * MARGIN;
  const scale = (cells - 2 * margin) / (greatest - least || 1);
  const middle = greatest > least ? 0 : (cells - 2 * margin) / 2;
  return values.map((value) =>
    Math.min(
      cells - 0.01,
      Math.max(0.01, margin + middle + (Math.min(Math.max(value, least), greatest) - least) * scale),
    ),
  );
}

/** Crowded places first: their pictures stay, and those at the edges give way outwards. */
function densestFirst({ x, y }: { x: Float32Array; y: Float32Array }, columns: number, rows: number): Int32Array {
  const side = 3;
  const across = Math.ceil(columns / side) + 2;
  const counts = new Float32Array(across * (Math.ceil(rows / side) + 2));
  const bin = (i: number) => (Math.floor((y[i] ?? 0) / side) + 1) * across + Math.floor((x[i] ?? 0) / side) + 1;
  for (let i = 0; i < x.length; i++) counts[bin(i)] = (counts[bin(i)] ?? 0) + 1;
  const density = Float32Array.from(x, (_, i) => {
    const at = bin(i);
    let sum = 2 * (counts[at] ?? 0);
    for (const step of [-across - 1, -across, 1 - across, -1, 1, across - 1, across, across + 1])
      sum += counts[at + step] ?? 0;
    return sum;
  });
  return Int32Array.from(x, (_, i) => i).sort((a, b) => (density[b] ?? 0) - (density[a] ?? 0) || a - b);
}

function freeCell(spread: Spread, searched: Uint16Array, x: number, y: number): number {
  const { columns, rows, pictureAt } = spread;
  const start = Math.floor(y) * columns + Math.floor(x);
  let [best, bestDistance] = [-1, Number.POSITIVE_INFINITY];
  const first = searched[start] ?? 0;
  for (let radius = first; best < 0 || radius <= bestDistance; radius++) {
    const consider = (column: number, row: number) => {
      if (column < 0 || row < 0 || column >= columns || row >= rows || pictureAt[row * columns + column] !== -1) return;
      const distance = Math.hypot(column + 0.5 - x, row + 0.5 - y);
      if (distance < bestDistance) [best, bestDistance] = [row * columns + column, distance];
    };
    ring(Math.floor(x), Math.floor(y), radius, consider);
    if (best < 0) searched[start] = radius + 1;
    if (radius > columns + rows) break;
  }
  return best;
}

function ring(column: number, row: number, radius: number, visit: (column: number, row: number) => void): void {
  if (radius === 0) visit(column, row);
  for (let step = radius ? -radius : 1; step <= radius; step++) {
    visit(column + step, row - radius);
    visit(column + step, row + radius);
  }
  for (let step = 1 - radius; step < radius; step++) {
    visit(column - radius, row + step);
    visit(column + radius, row + step);
  }
}

/** Where a region is after the spreading: the middle of the pictures that lay nearest to its centre. */
export function regionCentre(region: Region, map: MapData, spread: Spread): { x: number; y: number } {
  const nearest = Math.max(1, Math.min(24, Math.round(region.count / 4)));
  const distances = map.xs.map((x, i) => (x - region.x) ** 2 + ((map.ys[i] ?? 0) - region.y) ** 2);
  const limit = distances.slice().sort()[Math.min(nearest, distances.length) - 1] ?? 0;
  let [x, y, count] = [0, 0, 0];
  for (let i = 0; i < distances.length; i++) {
    if ((distances[i] ?? 0) > limit) continue;
    x += columnOf(spread, i) + 0.5;
    y += rowOf(spread, i) + 0.5;
    count += 1;
  }
  return { x: x / (count || 1), y: y / (count || 1) };
}
