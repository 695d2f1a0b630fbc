import { describe, expect, it, vi } from "vitest";
import { nextParcel, type Outcome, sharesOf, type Transport, type Upload, UploadQueue } from "./upload-queue";

const file = (name: string, size = 10) => new File([new Uint8Array(size)], name);
const files = (count: number, folder = "f") =>
  Array.from({ length: count }, (_, i) => ({ file: file(`${i}.jpg`), folder }));
const ADDED: Outcome = { state: "added", imageId: "a", reason: null, mayRetry: false };

const waiting = (name: string, rest: Partial<Upload> = {}): Upload => ({
  id: 0,
  name,
  size: 10,
  file: file(name),
  folder: "",
  tags: [],
  state: "waiting",
  sent: 0,
  imageId: null,
  reason: null,
  mayRetry: false,
  ...rest,
});

function transport(overrides: Partial<Transport> = {}): Transport {
  return {
    one: async () => ADDED,
    many: async (uploads, _, onOutcome) => {
      for (const each of uploads) onOutcome(each.name, ADDED);
    },
    reasonOf: (error) => ({ reason: String(error), mayRetry: true }),
    onAdded: () => {},
    ...overrides,
  };
}

const states = (queue: UploadQueue) => queue.uploads().map((each) => each.state);

describe("a parcel", () => {
  it("is one picture while few wait, or when it has tags", () => {
    expect(nextParcel([waiting("a"), waiting("b")])).toHaveLength(1);
    const tagged = Array.from({ length: 20 }, (_, i) => waiting(`${i}`, { tags: ["x"] }));
    expect(nextParcel(tagged)).toHaveLength(1);
  });

  it("takes many of one folder, none with the same name", () => {
    const many = Array.from({ length: 40 }, (_, i) => waiting(`${i % 12}`, { folder: i % 2 ? "a" : "b" }));
    const parcel = nextParcel(many);
    expect(parcel.map((each) => each.name)).toEqual(["0", "2", "4", "6", "8", "10"]);
    expect(new Set(parcel.map((each) => each.folder))).toEqual(new Set(["b"]));
  });

  it("does not mix files and addresses", () => {
    const many = Array.from({ length: 20 }, (_, i) => waiting(`${i}`, { file: i % 4 ? file("x") : null }));
    expect(nextParcel(many)).toHaveLength(5);
  });

  it("stays small in bytes, and takes one picture however large", () => {
    const large = waiting("large", { size: 400 * 1024 * 1024 });
    const many = Array.from({ length: 9 }, (_, i) => waiting(`${i}`));
    expect(nextParcel(many)).toHaveLength(9);
    expect(nextParcel([large, ...many])).toHaveLength(1);
    expect(nextParcel([...many, large])).toHaveLength(9);
  });
});

it("shares of the files follow the bytes of the whole", () => {
  expect(sharesOf([10, 30], 0.5)).toEqual([1, 1 / 3]);
  expect(sharesOf([10, 0], 1)).toEqual([1, 1]);
});

describe("the queue", () => {
  it("adds everything, and says so", async () => {
    const onAdded = vi.fn();
    const queue = new UploadQueue(transport({ onAdded }));
    queue.addFiles(files(30), []);
    await vi.waitFor(() => expect(states(queue)).toEqual(Array(30).fill("added")));
    expect(onAdded).toHaveBeenCalled();
  });

  it("sends at most three at once", async () => {
    let running = 0;
    let most = 0;
    const one = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return ADDED;
    };
    const queue = new UploadQueue(transport({ one }));
    queue.addFiles(files(12), ["tag"]);
    await vi.waitFor(() => expect(states(queue)).toEqual(Array(12).fill("added")));
    expect(most).toBe(3);
  });

  it("fails one picture without the others, and sends it again when asked", async () => {
    let refuse = true;
    const one = async (upload: Upload) => {
      if (refuse && upload.name === "1.jpg") throw new Error("busy");
      return ADDED;
    };
    const queue = new UploadQueue(transport({ one }));
    queue.addFiles(files(3), []);
    await vi.waitFor(() => expect(states(queue)).toEqual(["added", "failed", "added"]));
    expect(queue.uploads()[1]?.reason).toContain("busy");
    refuse = false;
    queue.retry();
    await vi.waitFor(() => expect(states(queue)).toEqual(["added", "added", "added"]));
  });

  it("keeps the outcomes that came before a broken parcel", async () => {
    const many: Transport["many"] = async (_uploads, _onSent, onOutcome) => {
      onOutcome("0.jpg", ADDED);
      throw new Error("gone");
    };
    const queue = new UploadQueue(transport({ many }));
    queue.addFiles(files(9), []);
    await vi.waitFor(() => expect(states(queue)).toEqual(["added", ...Array(8).fill("failed")]));
  });

  it("breaks off what is on its way, and forgets what waits", async () => {
    const one: Transport["one"] = (_upload, _onSent, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
    const queue = new UploadQueue(transport({ one }));
    queue.addFiles(files(5), []);
    await vi.waitFor(() => expect(states(queue)).toHaveLength(5));
    queue.cancel();
    await vi.waitFor(() => expect(states(queue)).toEqual([]));
  });
});
