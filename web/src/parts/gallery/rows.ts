import layout, { type Box } from "justified-layout";

export interface Size {
  width: number;
  height: number;
}

/** Pictures `first` to `first + boxes.length - 1` of the list, side by side; `top` and `height` in pixels. */
export interface Row {
  first: number;
  top: number;
  height: number;
  boxes: Box[];
}

const NARROWEST = 0.45;
const WIDEST = 3;
export const GAP_PX = 6;

/** A panorama is cropped, so that it leaves room for others. */
const aspect = ({ width, height }: Size) => Math.min(Math.max(width / height || 1, NARROWEST), WIDEST);

export function rowHeightFor(containerWidth: number): number {
  return containerWidth < 560 ? 130 : containerWidth < 1100 ? 190 : 235;
}

/** Rows of about equal height that fill the width, each picture in its own proportions. */
export function rowsOf(sizes: readonly Size[], containerWidth: number): Row[] {
  if (!containerWidth || !sizes.length) return [];
  const { boxes } = layout(sizes.map(aspect), {
    containerWidth,
    containerPadding: 0,
    boxSpacing: GAP_PX,
    targetRowHeight: rowHeightFor(containerWidth),
    targetRowHeightTolerance: 0.3,
  });
  const rows: Row[] = [];
  boxes.forEach((box, index) => {
    const row = rows.at(-1);
    if (row && row.top === box.top) row.boxes.push(box);
    else rows.push({ first: index, top: box.top, height: box.height, boxes: [box] });
  });
  return rows;
}

/** The picture in the next or previous row that lies nearest below or above the middle of `index`. */
export function neighbourInRows(rows: readonly Row[], index: number, step: 1 | -1): number {
  const at = rows.findIndex((row) => index < row.first + row.boxes.length);
  const [row, next] = [rows[at], rows[at + step]];
  const box = row?.boxes[index - row.first];
  if (!box || !next) return index;
  const middle = box.left + box.width / 2;
  const distance = (each: Box) => Math.abs(each.left + each.width / 2 - middle);
  return (
    next.first +
    next.boxes.reduce((best, each, i) => (distance(each) < distance(next.boxes[best] ?? each) ? i : best), 0)
  );
}
