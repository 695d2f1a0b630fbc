import { PictureLayer } from "../drawing/picture-layer";
import type { MapData } from "../map-data";
import {
  type Bounds,
  type Box,
  type Camera,
  fitted,
  type Point,
  panned,
  type Size,
  seen,
  toWorld,
  zoomedAt,
} from "./camera";
import { type Hands, listen } from "./gestures";
import { boxOf, isInside } from "./lasso";
import { GENTLE_MS, Motion, QUICK_MS, SLIDE_MS } from "./motion";
import { PictureData } from "./picture-data";
import {
  boxOfCells,
  columnOf,
  nearestPicture,
  pictureIn,
  picturesWithin,
  rowOf,
  type Spread,
  spreadOut,
} from "./spread";
import { followSize } from "./view";

export interface Events extends Pick<Hands, "point" | "tap" | "isDrawing" | "draw" | "endDrawing"> {
  /** After each frame, in the same one: for what lies over the map. */
  onFrame: (camera: Camera, view: Size) => void;
  /** The map rests. */
  onRest: () => void;
  onFailure: (error: unknown) => void;
}

/** A picture in the middle of the view, and how large it is there: CSS pixels of its cell. */
export interface Place {
  picture: number;
  scale: number;
}

/** Name of the `performance.measure` of each frame's work. */
export const FRAME = "map-frame";

/** Pixels that are needed are looked for this often while the map moves, ms. */
const LOOK_AGAIN_MS = 160;
const LARGEST_PX = 480;
const REST_MS = 150;
const EDGE_PX = 20;
/** What lies over the upper edge of the map. */
const TOP_PX = 40;
/** A frame after a rest begins with a step of this length, ms. */
const FIRST_STEP_MS = 16;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** The map in an element: draws only when something changed, and moves with hands and keys. */
export class MapEngine {
  readonly spread: Spread;
  private readonly ending = new AbortController();
  private readonly motion: Motion;
  private readonly layer: PictureLayer;
  private readonly world: Box;
  private view: Size = { width: 1, height: 1 };
  private frame = 0;
  private frameAt: number | null = null;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private lookedFor: Camera | null = null;
  private drawnCamera: Camera | null = null;
  private resting = 0;
  private hasSize = false;

  constructor(
    element: HTMLElement,
    map: MapData,
    private readonly events: Events,
    /** What is seen at first; null: the whole map. */
    private start: Place | null = null,
  ) {
    this.spread = spreadOut(map, element.clientWidth / (element.clientHeight || 1));
    this.world = boxOfCells(
      this.spread,
      map.ids.map((_, i) => i),
    );
    this.motion = new Motion({ x: 0, y: 0, scale: 1 }, this.boundsFor(this.view), () => !reducedMotion.matches);
    const { signal } = this.ending;
    const hooks = { onChange: () => this.draw(), onBegin: () => this.begin(), onFailure: events.onFailure };
    this.layer = new PictureLayer(element, map.ids, new PictureData(this.spread), hooks, signal);
    followSize(element, (view, device) => this.resize(view, device), signal);
    listen(element, this.hands(), signal);
  }

  get camera(): Camera {
    return this.motion.camera;
  }

  /** What is seen now; null: the whole map. */
  get place(): Place | null {
    const picture = this.pictureInMiddle();
    return this.isWholeIn(this.view) || picture === null ? null : { picture, scale: this.motion.target.scale };
  }

  end(): void {
    this.ending.abort();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.resting);
  }

  /** The picture under a point of the view; null: none. */
  pictureAt(at: Point): number | null {
    const { x, y } = toWorld(this.camera, this.view, at);
    const picture = pictureIn(this.spread, x, y);
    return picture >= 0 ? picture : null;
  }

  /** The picture in the middle of the view, or near it. */
  pictureInMiddle(): number | null {
    const { x, y, scale } = this.motion.target;
    const reach = Math.min(40, Math.max(1.5, this.view.height / 3 / scale));
    const picture = nearestPicture(this.spread, x, y, reach);
    return picture >= 0 ? picture : null;
  }

  /** The cell of a picture, in CSS pixels of the view. */
  boxOf(picture: number): Box {
    const { x, y, scale } = this.camera;
    const left = this.view.width / 2 + (columnOf(this.spread, picture) - x) * scale;
    const top = this.view.height / 2 + (rowOf(this.spread, picture) - y) * scale;
    return { left, top, right: left + scale, bottom: top + scale };
  }

  worldAt(at: Point): Point {
    return toWorld(this.camera, this.view, at);
  }

  /** The pictures whose middles are inside of a polygon of the world. */
  picturesInside(polygon: readonly Point[]): number[] {
    if (polygon.length < 3) return [];
    const { left, top, right, bottom } = boxOf(polygon);
    return picturesWithin(this.spread, left, top, right, bottom).filter((picture) =>
      isInside(polygon, columnOf(this.spread, picture) + 0.5, rowOf(this.spread, picture) + 0.5),
    );
  }

  /** Lights up the hits, the best ones most, and dims everything else; null: no search. */
  setHits(hits: readonly number[] | null): void {
    this.layer.setHits(hits);
    this.draw();
  }

  setSelected(pictures: Iterable<number>): void {
    this.layer.setSelected(pictures);
    this.draw();
  }

  /** Nearer or farther, at the middle of the view. */
  zoom(factor: number): void {
    this.zoomAt({ x: this.view.width / 2, y: this.view.height / 2 }, factor, GENTLE_MS);
  }

  /** Pushes the view by parts of its shorter side. */
  pan(x: number, y: number): void {
    const side = Math.min(this.view.width, this.view.height);
    this.go(panned(this.motion.target, -x * side, -y * side), GENTLE_MS);
  }

  showAll(): void {
    this.go(this.whole(), GENTLE_MS);
  }

  /** The pictures in view, from the middle outwards. */
  inView(): number[] {
    const { x, y } = this.camera;
    const { left, top, right, bottom } = seen(this.camera, this.view);
    const away = (picture: number) =>
      (columnOf(this.spread, picture) + 0.5 - x) ** 2 + (rowOf(this.spread, picture) + 0.5 - y) ** 2;
    return picturesWithin(this.spread, left, top, right, bottom)
      .map((picture) => [away(picture), picture] as const)
      .sort(([a], [b]) => a - b)
      .map(([, picture]) => picture);
  }

  /** Goes to where these pictures are. */
  show(pictures: readonly number[]): void {
    if (!pictures.length) return;
    const camera = fitted(boxOfCells(this.spread, pictures), this.view, Math.min(96, this.view.width / 6));
    this.go({ ...camera, scale: Math.min(camera.scale, 120) }, GENTLE_MS);
  }

  /** Draws a frame soon. */
  draw(): void {
    this.frame ||= requestAnimationFrame((now) => this.drawFrame(now));
  }

  private go(camera: Camera, timeMs: number): void {
    this.motion.go(camera, timeMs);
    this.draw();
  }

  private zoomAt(at: Point, factor: number, timeMs: number): void {
    this.go(zoomedAt(this.motion.target, this.view, at, factor, this.motion.limits), timeMs);
  }

  private hands(): Hands {
    return {
      ...this.events,
      push: (x, y) => {
        this.motion.jump(panned(this.camera, x, y));
        this.draw();
      },
      slide: (x, y) => this.go(panned(this.camera, x * SLIDE_MS, y * SLIDE_MS), SLIDE_MS),
      zoom: (at, factor, gradually) => {
        if (gradually) return this.zoomAt(at, factor, QUICK_MS);
        this.motion.jump(zoomedAt(this.camera, this.view, at, factor, this.motion.limits));
        this.draw();
      },
    };
  }

  /** Nothing is loaded, also after the graphics context was lost. */
  private begin(): void {
    this.forgetLook();
    this.draw();
  }

  /** The next frame looks for pixels. */
  private forgetLook(): void {
    this.lookedFor = null;
    this.lookedAt = Number.NEGATIVE_INFINITY;
  }

  private resize(view: Size, device: Size): void {
    const before = this.view;
    this.view = view;
    this.layer.resize(device);
    const wasWhole = !this.hasSize || this.isWholeIn(before);
    this.forgetLook();
    this.motion.limit(this.boundsFor(view));
    if (wasWhole) this.motion.jump(this.start ? this.cameraAt(this.start) : this.whole());
    this.start = null;
    this.hasSize = true;
    // At once, and not in the next frame: a canvas is empty after its size has changed.
    cancelAnimationFrame(this.frame);
    this.drawFrame(performance.now());
  }

  private cameraAt({ picture, scale }: Place): Camera {
    return { x: columnOf(this.spread, picture) + 0.5, y: rowOf(this.spread, picture) + 0.5, scale };
  }

  private isWholeIn(view: Size): boolean {
    return Math.abs(this.motion.target.scale / this.wholeIn(view).scale - 1) < 0.01;
  }

  private whole(): Camera {
    return this.wholeIn(this.view);
  }

  private wholeIn(view: Size): Camera {
    const camera = fitted(this.world, { ...view, height: view.height - TOP_PX }, EDGE_PX);
    return { ...camera, y: camera.y - TOP_PX / 2 / camera.scale };
  }

  private boundsFor(view: Size): Bounds {
    const whole = this.wholeIn(view).scale;
    return { least: whole * 0.6, most: Math.max(LARGEST_PX, whole), world: this.world };
  }

  private drawFrame(now: number): void {
    this.frame = 0;
    if (!this.hasSize) return;
    const start = performance.now();
    this.motion.step(this.frameAt === null ? FIRST_STEP_MS : Math.min(64, Math.max(1, now - this.frameAt)));
    if (!this.layer.draw(this.camera, this.view)) return;
    this.events.onFrame(this.camera, this.view);
    if (now - this.lookedAt > LOOK_AGAIN_MS) this.lookForPixels(now);
    this.afterFrame(now);
    performance.measure(FRAME, { start, end: performance.now() });
    performance.clearMeasures(FRAME);
  }

  private lookForPixels(now: number): void {
    if (this.lookedFor === this.camera) return;
    this.lookedAt = now;
    this.lookedFor = this.camera;
    this.layer.want(this.camera, this.view, () => this.inView());
  }

  private rest(): void {
    this.lookForPixels(performance.now());
    this.events.onRest();
  }

  private afterFrame(now: number): void {
    const goesOn = this.motion.isMoving || this.layer.hasWork;
    this.frameAt = goesOn ? now : null;
    if (goesOn) this.draw();
    if (this.drawnCamera === this.camera) return;
    this.drawnCamera = this.camera;
    clearTimeout(this.resting);
    this.resting = window.setTimeout(() => this.rest(), REST_MS);
  }
}
