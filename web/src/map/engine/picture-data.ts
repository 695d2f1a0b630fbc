import type { Atlas } from "../drawing/atlas";
import { columnOf, rowOf, type Spread } from "./spread";

/** Of its cell that a picture fills. */
const FILL = 0.94;
/** The last one of many hits is lit as well. */
const LEAST_LIGHT = 20;

/** What the renderer has to know of each picture. */
export class PictureData {
  /** (N, 4): the middle, and half the sides. */
  readonly places: Float32Array;
  /** (N, 2): how bright a hit is (0: no hit, 255: the best one), and whether it is selected. */
  readonly lights: Uint8Array;
  private proportionsOf = 0;

  constructor(spread: Spread) {
    const count = spread.cellOf.length;
    this.lights = new Uint8Array(count * 2);
    this.places = new Float32Array(count * 4);
    for (let i = 0; i < count; i++)
      this.places.set([columnOf(spread, i) + 0.5, rowOf(spread, i) + 0.5, FILL * 0.4, FILL * 0.4], 4 * i);
  }

  setHits(hits: readonly number[] | null): void {
    for (let i = 0; i < this.lights.length; i += 2) this.lights[i] = 0;
    hits?.forEach((picture, rank) => {
      this.lights[2 * picture] = Math.max(LEAST_LIGHT, Math.round(255 * (1 - rank / hits.length)));
    });
  }

  setSelected(pictures: Iterable<number>): void {
    for (let i = 1; i < this.lights.length; i += 2) this.lights[i] = 0;
    for (const picture of pictures) this.lights[2 * picture + 1] = 255;
  }

  /** Larger cells know the proportions more exactly. */
  takeProportions({ cell, pages }: Atlas): void {
    if (cell <= this.proportionsOf) return;
    this.proportionsOf = cell;
    for (const { pictures, places } of pages) {
      places.forEach(({ w, h }, i) => {
        const half = FILL / 2 / Math.max(w, h, 1);
        const at = 4 * (pictures[i] ?? 0) + 2;
        this.places[at] = w * half;
        this.places[at + 1] = h * half;
      });
    }
  }
}
