/** Pictures on their way into the library: files of this device, and addresses on the web. The queue lives as long as the tab: it goes on while a person looks elsewhere. */

export type UploadState = "waiting" | "sending" | "adding" | "added" | "present" | "failed";

/** Where pictures go. */
export interface Target {
  folder: string;
  tags: readonly string[];
}

/** A file, or an address: then `file` is null, `name` the address and `size` 0. */
export interface What {
  name: string;
  size: number;
  file: File | null;
}

export interface Upload extends Target, What {
  id: number;
  state: UploadState;
  /** 0 to 1, of its bytes. */
  sent: number;
  imageId: string | null;
  /** Why it failed, for a person. */
  reason: string | null;
  /** Whether it may work another time. */
  mayRetry: boolean;
}

export interface Outcome {
  state: "added" | "present" | "failed";
  imageId: string | null;
  reason: string | null;
  mayRetry: boolean;
}

/** How pictures are sent. Both may raise; then what has no outcome has failed with that error. */
export interface Transport {
  /** `onSent`: share of the bytes. */
  one: (upload: Upload, onSent: (share: number) => void, signal: AbortSignal) => Promise<Outcome>;
  /** Several at once, without tags and with different names. */
  many: (
    uploads: readonly Upload[],
    onSent: (share: number) => void,
    onOutcome: (name: string, outcome: Outcome) => void,
    signal: AbortSignal,
  ) => Promise<void>;
  reasonOf: (error: unknown) => Pick<Outcome, "reason" | "mayRetry">;
  /** After pictures came into the library. */
  onAdded: () => void;
}

const AT_ONCE = 3;
/** With this number of files waiting, or more, they are sent together. */
const MANY = 8;
const PARCEL_FILES = 25;
const PARCEL_BYTES = 48 * 1024 * 1024;
const TELL_MS = 80;

export const isOver = ({ state }: Upload) => state === "added" || state === "present" || state === "failed";

/** What to send next with one request: one picture, or many where many wait. `waiting` is not empty. */
export function nextParcel(waiting: readonly Upload[]): Upload[] {
  const [first] = waiting;
  if (!first) return [];
  if (first.tags.length || waiting.length < MANY) return [first];
  const parcel: Upload[] = [];
  const names = new Set<string>();
  let bytes = 0;
  for (const each of waiting) {
    const fits = each.folder === first.folder && !each.file === !first.file && !each.tags.length;
    if (!fits || names.has(each.name)) continue;
    if (parcel.length && (parcel.length === PARCEL_FILES || bytes + each.size > PARCEL_BYTES)) break;
    parcel.push(each);
    names.add(each.name);
    bytes += each.size;
  }
  return parcel;
}

/** How much of each file is sent when `share` of all their bytes is, one after the other. */
export function sharesOf(sizes: readonly number[], share: number): number[] {
  let left = share * sizes.reduce((sum, size) => sum + size, 0);
  return sizes.map((size) => {
    const sent = Math.max(0, Math.min(size, left));
    left -= size;
    return size ? sent / size : share;
  });
}

export class UploadQueue {
  #uploads = new Map<number, Upload>();
  #shown: readonly Upload[] = [];
  #requests = new Map<AbortController, readonly number[]>();
  #listeners = new Set<() => void>();
  #telling: ReturnType<typeof setTimeout> | null = null;
  #lastId = 0;

  constructor(private readonly transport: Transport) {}

  /** As of the last time that listeners were told. */
  readonly uploads = (): readonly Upload[] => this.#shown;

  readonly subscribe = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  addFiles(files: Iterable<{ file: File; folder: string }>, tags: readonly string[]): void {
    for (const { file, folder } of files) this.#add({ name: file.name, size: file.size, file }, { folder, tags });
    this.#sendMore();
  }

  addAddresses(urls: Iterable<string>, target: Target): void {
    for (const url of urls) this.#add({ name: url, size: 0, file: null }, target);
    this.#sendMore();
  }

  #add(what: What, target: Target): void {
    this.#lastId += 1;
    const fresh = { state: "waiting", sent: 0, imageId: null, reason: null, mayRetry: false } as const;
    this.#uploads.set(this.#lastId, { id: this.#lastId, ...what, ...target, ...fresh });
    this.#tell();
  }

  /** Sends those again that failed and may work another time. */
  retry(): void {
    for (const each of this.#uploads.values()) {
      if (each.state === "failed" && each.mayRetry) this.#change(each.id, { state: "waiting", sent: 0, reason: null });
    }
    this.#sendMore();
  }

  /** Forgets what is over. */
  clear(): void {
    for (const each of this.#uploads.values()) if (isOver(each)) this.#uploads.delete(each.id);
    this.#tell();
  }

  /** Sends nothing more. What is on its way is broken off; what the service adds just now still comes in. */
  cancel(): void {
    for (const each of this.#uploads.values()) if (!isOver(each)) this.#uploads.delete(each.id);
    for (const each of this.#requests.keys()) each.abort();
    this.#tell();
  }

  #sendMore(): void {
    while (this.#requests.size < AT_ONCE) {
      const waiting = [...this.#uploads.values()].filter((each) => each.state === "waiting");
      const parcel = nextParcel(waiting);
      if (!parcel.length) return;
      for (const { id } of parcel) this.#change(id, { state: "sending" });
      void this.#send(parcel);
    }
  }

  async #send(parcel: readonly Upload[]): Promise<void> {
    const control = new AbortController();
    this.#requests.set(
      control,
      parcel.map((each) => each.id),
    );
    const sizes = parcel.map((each) => each.size);
    const onSent = (share: number) => {
      const shares = sharesOf(sizes, share);
      parcel.forEach(({ id }, i) => {
        if (this.#isOpen(id)) this.#change(id, { sent: shares[i] ?? 0, state: share < 1 ? "sending" : "adding" });
      });
    };
    try {
      const [only] = parcel;
      if (only && parcel.length === 1) this.#change(only.id, await this.transport.one(only, onSent, control.signal));
      else {
        const onOutcome = (name: string, outcome: Outcome) => {
          const found = parcel.find((each) => each.name === name);
          if (found) this.#change(found.id, outcome);
        };
        await this.transport.many(parcel, onSent, onOutcome, control.signal);
        this.#failOpen(parcel, { reason: null, mayRetry: true });
      }
    } catch (error) {
      this.#failOpen(parcel, this.transport.reasonOf(error));
    } finally {
      this.#requests.delete(control);
      if (parcel.some(({ id }) => this.#uploads.get(id)?.state === "added")) this.transport.onAdded();
      this.#sendMore();
    }
  }

  #isOpen(id: number): boolean {
    const upload = this.#uploads.get(id);
    return upload !== undefined && !isOver(upload);
  }

  #failOpen(parcel: readonly Upload[], why: Pick<Outcome, "reason" | "mayRetry">): void {
    for (const { id } of parcel) if (this.#isOpen(id)) this.#change(id, { state: "failed", ...why });
  }

  #change(id: number, change: Partial<Upload>): void {
    const upload = this.#uploads.get(id);
    if (!upload) return;
    this.#uploads.set(id, { ...upload, ...change });
    this.#tell();
  }

  /** Progress comes often: listeners hear of it a few times a second. */
  #tell(): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = null;
      this.#shown = [...this.#uploads.values()];
      for (const each of this.#listeners) each();
    }, TELL_MS);
  }
}
