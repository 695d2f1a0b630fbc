import { approached, type Bounds, type Camera, clamped, isSame } from "./camera";

/** Time in which a move does about two thirds of the way, ms. */
export const QUICK_MS = 80;
export const GENTLE_MS = 110;
/** A thrown map slides for about this long, ms. */
export const SLIDE_MS = 220;

/** A camera on its way to where it shall be. */
export class Motion {
  camera: Camera;
  private goal: Camera;
  private timeMs = QUICK_MS;

  constructor(
    camera: Camera,
    private bounds: Bounds,
    /** Whether moves take time; else the camera is there at once. */
    private readonly isSmooth: () => boolean,
  ) {
    this.camera = clamped(camera, bounds);
    this.goal = this.camera;
  }

  /** Where it will be: further moves begin there, so that fast turns of a wheel add up. */
  get target(): Camera {
    return this.goal;
  }

  get limits(): Bounds {
    return this.bounds;
  }

  get isMoving(): boolean {
    return this.camera !== this.goal;
  }

  /** New limits, for another size of the view. */
  limit(bounds: Bounds): void {
    this.bounds = bounds;
    this.jump(this.goal);
  }

  jump(to: Camera): void {
    this.camera = clamped(to, this.bounds);
    this.goal = this.camera;
  }

  go(to: Camera, timeMs: number = QUICK_MS): void {
    this.goal = clamped(to, this.bounds);
    this.timeMs = timeMs;
    if (!this.isSmooth()) this.camera = this.goal;
  }

  /** Moves on by this number of milliseconds. */
  step(elapsedMs: number): void {
    if (!this.isMoving) return;
    const next = approached(this.camera, this.goal, 1 - Math.exp(-elapsedMs / this.timeMs));
    this.camera = isSame(next, this.goal) ? this.goal : next;
  }
}
