import { thumbnail } from "../../api/addresses";
import { pixels } from "./atlas";
import { type Batch, Instances, type Renderer } from "./renderer";
import { pageTexture, type Uploads, uploadOf } from "./textures";
import { leastWanted } from "./wanted";

const PAGE_SIDE = 2048;

/** Thumbnails of single pictures, in slots of textures of our own: those that were wanted last. */
export class Thumbnails {
  private readonly perRow: number;
  private readonly pages: Batch[] = [];
  private readonly slotOf = new Map<number, number>();
  private readonly wantedAt = new Map<number, number>();

  constructor(
    private readonly renderer: Renderer,
    private readonly uploads: Uploads,
    private readonly ids: readonly string[],
    /** Pixels: 256, or 1024. */
    private readonly side: 256 | 1024,
    private readonly mostPages: number,
  ) {
    this.perRow = PAGE_SIDE / side;
  }

  get most(): number {
    return this.mostPages * this.perRow ** 2;
  }

  get loaded(): Iterable<Batch> {
    return this.pages;
  }

  /** Notes that a picture is in use at this moment. False: it is not loaded. */
  use(picture: number, now: number): boolean {
    this.wantedAt.set(picture, now);
    return this.slotOf.has(picture);
  }

  async load(picture: number, now: number, signal: AbortSignal, shown: () => void): Promise<void> {
    const image = await pixels(thumbnail(this.ids[picture] ?? "", { large: this.side > 256 }), signal);
    const slot = signal.aborted ? null : this.freeSlot(now);
    if (slot === null) return image.close();
    this.slotOf.set(picture, slot);
    const perPage = this.perRow ** 2;
    const place = slot % perPage;
    const batch = this.pageOf(Math.floor(slot / perPage));
    if (!batch.texture) return image.close();
    const rect = {
      x: (place % this.perRow) * this.side,
      y: Math.floor(place / this.perRow) * this.side,
      w: Math.min(image.width, this.side),
      h: Math.min(image.height, this.side),
    };
    this.hide(batch, place);
    this.uploads.add(uploadOf(this.renderer.gl, batch.texture, image, { ...rect, mips: false }), () => {
      if (this.slotOf.get(picture) !== slot) return;
      const instance = new Instances(1);
      instance.add(picture, rect, { width: PAGE_SIDE, height: PAGE_SIDE });
      this.renderer.fill(batch, instance, place);
      shown();
    });
  }

  /** An instance with an empty rectangle is not drawn. */
  private hide(batch: Batch, place: number): void {
    const nothing = new Instances(1);
    nothing.count = 1;
    this.renderer.fill(batch, nothing, place);
  }

  private freeSlot(now: number): number | null {
    if (this.slotOf.size < this.most) return this.slotOf.size;
    const kept = new Map([...this.slotOf.keys()].map((picture) => [picture, this.wantedAt.get(picture) ?? 0]));
    const picture = leastWanted(kept, now);
    const slot = picture === null ? undefined : this.slotOf.get(picture);
    if (picture === null || slot === undefined) return null;
    this.slotOf.delete(picture);
    return slot;
  }

  private pageOf(number: number): Batch {
    const { renderer } = this;
    const page =
      this.pages[number] ?? renderer.batch(pageTexture(renderer.gl, PAGE_SIDE, PAGE_SIDE, 1), this.perRow ** 2);
    this.pages[number] = page;
    return page;
  }
}
