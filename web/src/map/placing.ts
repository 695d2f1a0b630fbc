import type { Box, Size } from "./engine/camera";

const GAP_PX = 12;
const EDGE_PX = 8;

/** Lays an element exactly over a box. */
export function placeOver(element: HTMLElement | null, { left, top, right, bottom }: Box): void {
  if (!element) return;
  element.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
  const [width, height] = [`${(right - left).toFixed(1)}px`, `${(bottom - top).toFixed(1)}px`];
  if (element.style.width !== width) element.style.width = width;
  if (element.style.height !== height) element.style.height = height;
}

/** The upper left corner of a card beside a box: on the right, or else on the left, and inside of the view. */
export function besides(box: Box, card: Size, view: Size): { x: number; y: number } {
  const right = box.right + GAP_PX;
  const x = right + card.width + EDGE_PX <= view.width ? right : box.left - GAP_PX - card.width;
  const y = (box.top + box.bottom - card.height) / 2;
  const inside = (value: number, size: number, room: number) =>
    Math.max(EDGE_PX, Math.min(value, room - size - EDGE_PX));
  return { x: inside(x, card.width, view.width), y: inside(y, card.height, view.height) };
}

/** Puts a card beside a box, if it is shown. */
export function placeCard(element: HTMLElement | null, box: Box, view: Size): void {
  if (!element?.dataset.shown) return;
  const { x, y } = besides(box, { width: element.offsetWidth, height: element.offsetHeight }, view);
  element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
}
