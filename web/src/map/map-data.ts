/** A region of the map: where its pictures are, and what they show. `name` is null until the model has read its words. */
export interface Region {
  name: string | null;
  x: number;
  y: number;
  count: number;
}

/** Where every picture lies. Coordinates keep their proportions; the longer side of the map is 1 long. */
export interface MapData {
  ids: string[];
  xs: Float32Array;
  ys: Float32Array;
  regions: Region[];
  /** What the service still works out: the map will be another one. */
  pending: string[];
}

interface Head {
  regions: Region[];
  pending: string[];
}

const MAGIC = 0x4d533249;
const VERSION = 1;
const HEADER_BYTES = 32;
const STEPS = 65535;

/** Reads the binary form of `/map` (docs/library.md). Raises Error for anything else. */
export function readMap(buffer: ArrayBuffer): MapData {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION)
    throw new Error("The service answered with a map that this page can't read.");
  const [count, jsonBytes] = [view.getUint32(8, true), view.getUint32(12, true)];
  const [left, top, right, bottom] = [16, 20, 24, 28].map((at) => view.getFloat32(at, true)) as [
    number,
    number,
    number,
    number,
  ];
  const span = Math.max(right - left, bottom - top) || 1;
  const steps = new Uint16Array(buffer, HEADER_BYTES + 8 * count, 2 * count);
  const xs = new Float32Array(count);
  const ys = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    xs[i] = (((steps[2 * i] ?? 0) / STEPS) * (right - left)) / span;
    ys[i] = (((steps[2 * i + 1] ?? 0) / STEPS) * (bottom - top)) / span;
  }
  const head = JSON.parse(
    new TextDecoder().decode(new Uint8Array(buffer, HEADER_BYTES + 12 * count, jsonBytes)),
  ) as Head;
  const regions = head.regions.map((each) => ({ ...each, x: (each.x - left) / span, y: (each.y - top) / span }));
  return { ids: readIds(view, count), xs, ys, regions, pending: head.pending };
}

function readIds(view: DataView, count: number): string[] {
  const hex = (at: number) => view.getUint32(at, true).toString(16).padStart(8, "0");
  return Array.from({ length: count }, (_, i) => hex(HEADER_BYTES + 8 * i + 4) + hex(HEADER_BYTES + 8 * i));
}
