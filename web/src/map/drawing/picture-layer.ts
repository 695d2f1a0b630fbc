import type { Camera, Size } from "../engine/camera";
import type { PictureData } from "../engine/picture-data";
import { colourOf, followTheme } from "../engine/view";
import { type Look, Renderer } from "./renderer";
import { type Need, Sources } from "./sources";

/** A frame's share for sending pixels to the graphics card, ms. */
const UPLOAD_MS = 2.5;

interface Hooks {
  /** Something else can be drawn. */
  onChange: () => void;
  /** The graphics context is new: nothing is loaded. */
  onBegin: () => void;
  onFailure: (error: unknown) => void;
}

/** Whether this browser can draw the map at all. */
export function canDraw(): boolean {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

/** The canvas with the pictures. A graphics context that is lost is set up anew when it comes back. */
export class PictureLayer {
  private readonly canvas = document.createElement("canvas");
  private renderer: Renderer | null = null;
  private sources: Sources | null = null;
  private searching = false;
  private look: Look = { ground: [0, 0, 0], accent: [0, 0, 0], blank: [0, 0, 0] };

  constructor(
    private readonly element: HTMLElement,
    private readonly ids: readonly string[],
    private readonly pictures: PictureData,
    private readonly hooks: Hooks,
    private readonly ending: AbortSignal,
  ) {
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.leave();
    });
    this.canvas.addEventListener("webglcontextrestored", () => this.begin());
    ending.addEventListener("abort", () => this.end());
    element.prepend(this.canvas);
    followTheme(() => this.readLook(), ending);
    this.readLook();
    this.begin();
  }

  /** Whether pixels wait to be sent to the graphics card. */
  get hasWork(): boolean {
    return this.sources?.hasWork ?? false;
  }

  resize(device: Size): void {
    this.canvas.width = device.width;
    this.canvas.height = device.height;
  }

  setHits(hits: readonly number[] | null): void {
    this.pictures.setHits(hits);
    this.searching = hits !== null;
    this.renderer?.setLights(this.pictures.lights);
  }

  setSelected(pictures: Iterable<number>): void {
    this.pictures.setSelected(pictures);
    this.renderer?.setLights(this.pictures.lights);
  }

  /** False: there is no graphics context now. */
  draw(camera: Camera, view: Size): boolean {
    const { renderer, sources } = this;
    if (!renderer || !sources || renderer.gl.isContextLost()) return false;
    sources.work(UPLOAD_MS);
    const ratio = this.canvas.width / view.width;
    const { searching, look } = this;
    renderer.draw({ camera, view, ratio, searching, look, batches: sources.batches() });
    return true;
  }

  /** Asks for the pixels that this camera needs. */
  want(camera: Camera, view: Size, visible: Need["visible"]): void {
    this.sources?.want({ pixels: (camera.scale * this.canvas.width) / view.width, visible });
  }

  private begin(): void {
    const gl = this.canvas.getContext("webgl2", { alpha: false, antialias: true, powerPreference: "high-performance" });
    if (!gl || this.ending.aborted) return;
    const renderer = new Renderer(gl, this.ids.length);
    renderer.setPlaces(this.pictures.places);
    renderer.setLights(this.pictures.lights);
    this.renderer = renderer;
    this.sources = new Sources(renderer, this.ids, {
      onChange: this.hooks.onChange,
      onAtlas: (atlas) => {
        this.pictures.takeProportions(atlas);
        renderer.setPlaces(this.pictures.places);
        this.hooks.onChange();
      },
      onFailure: this.hooks.onFailure,
    });
    this.hooks.onBegin();
  }

  private leave(): void {
    this.sources?.end();
    this.sources = null;
  }

  private end(): void {
    this.leave();
    this.canvas.remove();
    this.renderer?.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private readLook(): void {
    this.look = {
      ground: colourOf(this.element, "--sunken"),
      accent: colourOf(this.element, "--accent"),
      blank: colourOf(this.element, "--line"),
    };
    this.hooks.onChange();
  }
}
