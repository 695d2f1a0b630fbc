import { type Atlas, CELLS, type Cell } from "./atlas";
import { Pages } from "./pages";
import { type Batch, Instances, type Renderer } from "./renderer";
import { Tasks } from "./tasks";
import { Uploads } from "./textures";
import { Thumbnails } from "./thumbnails";
import { cellsFor } from "./wanted";

/** What is seen, from which it follows which pixels are needed. */
export interface Need {
  /** Device pixels of a cell. */
  pixels: number;
  /** The pictures in view, the one in the middle first. Called only where not all pictures are needed. */
  visible: () => number[];
}

interface Hooks {
  /** Something else can be drawn. */
  onChange: () => void;
  /** An atlas with the proportions of the pictures. */
  onAtlas: (atlas: Atlas) => void;
  onFailure: (error: unknown) => void;
}

/** Whether this is a phone or a tablet, whose graphics memory is small. */
const isSmall = () => matchMedia("(pointer: coarse)").matches;

/** From this number of device pixels on, the thumbnails of 1024 pixels are taken. */
const LARGE_FROM = 340;
/** What failed is not asked for again for so long, ms. */
const AGAIN_MS = 15_000;
const PARALLEL = 6;

interface Wish {
  key: string;
  load: (signal: AbortSignal) => Promise<void>;
}

/** Brings the pixels of the pictures to the graphics card: all in small at once, and sharper ones of what is in view. */
export class Sources {
  private readonly uploads = new Uploads();
  private readonly tasks = new Tasks(PARALLEL, () => this.pump());
  private readonly ending = new AbortController();
  private readonly levels: Record<Cell, Pages>;
  private readonly atlases = new Map<Cell, Promise<void>>();
  private readonly small: Thumbnails;
  private readonly large: Thumbnails;
  private readonly blank: Batch;
  private readonly failedAt = new Map<string, number>();
  private wishes: Wish[] = [];
  private need: Need | null = null;
  private moment = 1;

  constructor(
    renderer: Renderer,
    ids: readonly string[],
    private readonly hooks: Hooks,
  ) {
    const numbers = new Map(ids.map((id, i) => [id, i]));
    const parts = { renderer, tasks: this.tasks, uploads: this.uploads, numbers };
    const half = isSmall() ? 0.5 : 1;
    this.levels = {
      32: new Pages(32, parts, Number.POSITIVE_INFINITY),
      64: new Pages(64, parts, 12 * half),
      128: new Pages(128, parts, 8 * half),
    };
    this.small = new Thumbnails(renderer, this.uploads, ids, 256, 4 * half);
    this.large = new Thumbnails(renderer, this.uploads, ids, 1024, 2);
    this.blank = renderer.batch(null, ids.length);
    const instances = new Instances(ids.length);
    for (let i = 0; i < ids.length; i++) instances.add(i, { x: 0, y: 0, w: 2, h: 2 }, { width: 2, height: 2 });
    renderer.fill(this.blank, instances);
  }

  /** The sharpest first. */
  *batches(): Iterable<Batch> {
    yield* this.large.loaded;
    yield* this.small.loaded;
    for (const cell of CELLS.toReversed()) yield* this.levels[cell].loaded;
    if (!this.levels[32].isComplete) yield this.blank;
  }

  get hasWork(): boolean {
    return !this.uploads.isEmpty;
  }

  /** Sends what was fetched to the graphics card, for about this number of milliseconds. */
  work(budgetMs: number): void {
    this.uploads.work(budgetMs);
  }

  want(need: Need): void {
    this.need = need;
    this.moment += 1;
    this.wishes = this.wishesFor(need);
    this.tasks.keep(new Set(this.wishes.map(({ key }) => key)));
    this.pump();
  }

  end(): void {
    this.ending.abort();
    this.tasks.keep(new Set());
    this.uploads.clear();
  }

  private wishesFor({ pixels, visible }: Need): Wish[] {
    const all = this.levels[32].atlas?.pages.map((page) => page.number) ?? [];
    if (!this.hasAtlas(32)) return [];
    const wishes = this.pageWishes(32, all);
    const cell = cellsFor(pixels);
    if (cell === 32) return wishes;
    const inView = visible();
    if (cell === null) wishes.push(...this.thumbnailWishes(inView, pixels));
    const enough = cell === null && inView.length <= this.small.most;
    return enough ? wishes : [...wishes, ...this.sharperPages(cell ?? 128, inView)];
  }

  /** Pages with these cells; where not all of them can be kept, also those with smaller cells. */
  private sharperPages(cell: Cell, inView: number[]): Wish[] {
    if (cell === 32 || !this.hasAtlas(cell)) return [];
    const { pages, all } = this.levels[cell].pagesOf(inView);
    const wishes = this.pageWishes(cell, pages);
    return all ? wishes : [...wishes, ...this.sharperPages(cell === 128 ? 64 : 32, inView)];
  }

  private pageWishes(cell: Cell, pages: number[]): Wish[] {
    const [level, now] = [this.levels[cell], this.moment];
    return pages
      .filter((page) => !level.use(page, now))
      .map((page) => ({
        key: `${cell}/${page}`,
        load: (signal) => level.load(page, now, signal, this.hooks.onChange),
      }));
  }

  private thumbnailWishes(inView: number[], pixels: number): Wish[] {
    const now = this.moment;
    const wishes = (store: Thumbnails, kind: string): Wish[] =>
      inView
        .slice(0, store.most)
        .filter((picture) => !store.use(picture, now))
        .map((picture) => ({
          key: `${kind}/${picture}`,
          load: (signal) => store.load(picture, now, signal, this.hooks.onChange),
        }));
    return [...wishes(this.small, "small"), ...(pixels >= LARGE_FROM ? wishes(this.large, "large") : [])];
  }

  /** Whether the atlas is there; else it is asked for, and the wishes are made again when it comes. */
  private hasAtlas(cell: Cell): boolean {
    if (!this.atlases.has(cell)) {
      const loading = this.levels[cell].loadAtlas(this.ending.signal).then(
        () => {
          const { atlas } = this.levels[cell];
          if (atlas) this.hooks.onAtlas(atlas);
          if (this.need) this.want(this.need);
        },
        (error: unknown) => {
          if (!this.ending.signal.aborted && cell === 32) this.hooks.onFailure(error);
        },
      );
      this.atlases.set(cell, loading);
    }
    return this.levels[cell].atlas !== null;
  }

  private pump(): void {
    while (this.tasks.hasRoom) {
      const wish = this.wishes.shift();
      if (!wish) return;
      const tired = performance.now() - (this.failedAt.get(wish.key) ?? Number.NEGATIVE_INFINITY) < AGAIN_MS;
      if (tired || this.tasks.has(wish.key)) continue;
      this.tasks.start(wish.key, async (signal) => {
        try {
          await wish.load(signal);
          this.hooks.onChange();
        } catch {
          if (!signal.aborted) this.failedAt.set(wish.key, performance.now());
        }
      });
    }
  }
}
