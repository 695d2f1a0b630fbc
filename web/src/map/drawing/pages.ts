import { type Atlas, type AtlasPage, atlasOf, type Cell, pageAddress, pixels } from "./atlas";
import { type Batch, Instances, type Renderer } from "./renderer";
import type { Tasks } from "./tasks";
import { mipLevels, pageTexture, type Uploads, uploadOf } from "./textures";
import { leastWanted, pagesFor } from "./wanted";

/** With more pages than this, all of them are kept at half their resolution. */
const MOST_WHOLE = 8;

interface Parts {
  renderer: Renderer;
  tasks: Tasks;
  uploads: Uploads;
  numbers: ReadonlyMap<string, number>;
}

/** The pages of the atlas with one size of cells: those that are loaded, and those that are wanted. */
export class Pages {
  atlas: Atlas | null = null;
  private readonly batches = new Map<number, Batch>();
  private readonly wantedAt = new Map<number, number>();
  /** Pages that are fetched, and wait to be sent to the graphics card. */
  private readonly coming = new Set<number>();

  constructor(
    private readonly cell: Cell,
    private readonly parts: Parts,
    /** Pages that are kept at a time. */
    private readonly most: number,
  ) {}

  get loaded(): Iterable<Batch> {
    return this.batches.values();
  }

  /** Whether all pages are loaded. */
  get isComplete(): boolean {
    return this.atlas !== null && this.batches.size === this.atlas.pages.length;
  }

  async loadAtlas(signal: AbortSignal): Promise<void> {
    this.atlas = await atlasOf(this.cell, this.parts.numbers, signal);
  }

  /** The pages that pictures are on, the most useful ones first, and whether that is all of them. */
  pagesOf(visible: readonly number[]): { pages: number[]; all: boolean } {
    if (!this.atlas) return { pages: [], all: true };
    const pages = pagesFor(visible, this.atlas.pageOf, this.most + 1);
    return { pages: pages.slice(0, this.most), all: pages.length <= this.most };
  }

  /** Notes that a page is in use at this moment. False: it is not loaded. */
  use(page: number, now: number): boolean {
    this.wantedAt.set(page, now);
    return this.batches.has(page) || this.coming.has(page);
  }

  /** Fetches a page and sends it to the graphics card. */
  async load(number: number, now: number, signal: AbortSignal, shown: () => void): Promise<void> {
    const page = this.atlas?.pages[number];
    if (!page) return;
    const half = (this.atlas?.pages.length ?? 0) > MOST_WHOLE && this.most === Number.POSITIVE_INFINITY;
    const size = half ? { width: Math.ceil(page.width / 2), height: Math.ceil(page.height / 2) } : null;
    const image = await pixels(pageAddress(this.cell, page), signal, size);
    if (signal.aborted) return image.close();
    this.makeRoom(now);
    const { gl } = this.parts.renderer;
    const texture = pageTexture(gl, image.width, image.height, mipLevels(half ? this.cell / 2 : this.cell));
    this.coming.add(number);
    this.parts.uploads.add(uploadOf(gl, texture, image), () => {
      this.coming.delete(number);
      this.batches.set(number, this.batchOf(page, texture));
      shown();
    });
  }

  private batchOf(page: AtlasPage, texture: WebGLTexture): Batch {
    const instances = new Instances(page.places.length);
    page.places.forEach((place, i) => {
      instances.add(page.pictures[i] ?? 0, place, page);
    });
    const batch = this.parts.renderer.batch(texture, page.places.length);
    this.parts.renderer.fill(batch, instances);
    return batch;
  }

  private makeRoom(now: number): void {
    while (this.batches.size >= this.most) {
      const kept = new Map([...this.batches.keys()].map((page) => [page, this.wantedAt.get(page) ?? 0]));
      const page = leastWanted(kept, now);
      const batch = page !== null ? this.batches.get(page) : undefined;
      if (page === null || !batch) return;
      this.batches.delete(page);
      this.parts.renderer.remove(batch);
    }
  }
}
