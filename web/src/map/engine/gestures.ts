import type { Point } from "./camera";

/** What hands do on the map. Points are in CSS pixels from its upper left corner. */
export interface Hands {
  /** A push of nothing stops a map that slides. */
  push: (x: number, y: number) => void;
  /** Let go while it moved, in pixels a millisecond. */
  slide: (x: number, y: number) => void;
  /** `gradually`: by a step, as a wheel does, and not by a hand that moves on. */
  zoom: (at: Point, factor: number, gradually: boolean) => void;
  point: (at: Point | null) => void;
  tap: (at: Point) => void;
  /** Whether a hand draws a lasso now, and does not move the map. */
  isDrawing: () => boolean;
  draw: (at: Point) => void;
  /** `add`: to what is selected already. */
  endDrawing: (done: boolean, add: boolean) => void;
}

/** A pointer that moves less than this is still a click, pixels. */
const CLICK_PX = 5;
const WHEEL_STEP = 0.0022;
const PINCH_STEP = 0.012;
const LINE_PX = 16;
const DOUBLE_CLICK_FACTOR = 2;
/** A hand that rested this long before it let go does not throw the map, ms. */
const REST_MS = 60;

interface Hand extends Point {
  moved: number;
  from: Point;
}

/** Listens to pointers and wheel on an element until the signal ends it. */
export function listen(element: HTMLElement, hands: Hands, signal: AbortSignal): void {
  const down = new Map<number, Hand>();
  let speed = { x: 0, y: 0, at: 0 };
  let drawing = false;

  const pointOf = (event: MouseEvent): Point => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...down.values()];
    if (!a || !b) return null;
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, distance: Math.hypot(a.x - b.x, a.y - b.y) };
  };
  const stopDrawing = (done: boolean, add: boolean) => {
    if (drawing) hands.endDrawing(done, add);
    drawing = false;
  };

  const pointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const at = pointOf(event);
    hands.push(0, 0);
    down.set(event.pointerId, { ...at, moved: 0, from: at });
    speed = { x: 0, y: 0, at: event.timeStamp };
    if (down.size > 1) stopDrawing(false, false);
    else if (hands.isDrawing()) {
      drawing = true;
      element.setPointerCapture(event.pointerId);
      hands.draw(at);
    }
  };

  const pinch = (hand: Hand, at: Point) => {
    const before = spread();
    Object.assign(hand, at);
    const after = spread();
    if (!before || !after) return;
    hands.push(after.x - before.x, after.y - before.y);
    if (before.distance > 1 && after.distance > 1) hands.zoom(after, after.distance / before.distance, false);
  };

  const drag = (hand: Hand, at: Point, event: PointerEvent) => {
    const step = { x: at.x - hand.x, y: at.y - hand.y };
    const elapsed = Math.max(1, event.timeStamp - speed.at);
    const share = Math.min(1, elapsed / 40);
    speed = {
      x: speed.x + (step.x / elapsed - speed.x) * share,
      y: speed.y + (step.y / elapsed - speed.y) * share,
      at: event.timeStamp,
    };
    Object.assign(hand, at);
    hands.push(step.x, step.y);
  };

  const pointerMove = (event: PointerEvent) => {
    const at = pointOf(event);
    const hand = down.get(event.pointerId);
    if (!hand) {
      if (event.pointerType !== "touch") hands.point(at);
      return;
    }
    hand.moved = Math.max(hand.moved, Math.hypot(at.x - hand.from.x, at.y - hand.from.y));
    if (drawing) return hands.draw(at);
    if (down.size > 1) return pinch(hand, at);
    if (hand.moved < CLICK_PX) return;
    // Not earlier: a captured pointer would click on this element, and not on the link in it.
    if (!element.hasPointerCapture(event.pointerId)) {
      element.setPointerCapture(event.pointerId);
      hands.point(null);
    }
    drag(hand, at, event);
  };

  const pointerUp = (event: PointerEvent) => {
    const hand = down.get(event.pointerId);
    if (!hand) return;
    down.delete(event.pointerId);
    if (drawing) return stopDrawing(event.type === "pointerup", event.shiftKey);
    if (down.size || event.type !== "pointerup") return;
    if (hand.moved < CLICK_PX) {
      if (event.pointerType !== "mouse") hands.tap(pointOf(event));
    } else if (event.timeStamp - speed.at < REST_MS) hands.slide(speed.x, speed.y);
  };

  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * LINE_PX : event.deltaY;
    // Browsers tell a pinch on a touchpad as a wheel with the Ctrl key.
    hands.zoom(pointOf(event), Math.exp(-pixels * (event.ctrlKey ? PINCH_STEP : WHEEL_STEP)), true);
  };

  const options = { signal };
  element.addEventListener("pointerdown", pointerDown, options);
  element.addEventListener("pointermove", pointerMove, options);
  element.addEventListener("pointerup", pointerUp, options);
  element.addEventListener("pointercancel", pointerUp, options);
  element.addEventListener("pointerleave", () => hands.point(null), options);
  element.addEventListener("wheel", wheel, { signal, passive: false });
  element.addEventListener("dblclick", (event) => hands.zoom(pointOf(event), DOUBLE_CLICK_FACTOR, true), options);
}
