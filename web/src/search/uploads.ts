/** Pictures that were dropped, pasted or picked. They stay in this browser (IndexedDB), so that "back" and a reload find them. */
const DATABASE = "image2search";
const STORE = "uploads";
const MOST = 40;

interface Upload {
  id: string;
  blob: Blob;
  name: string;
  at: number;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

let database: Promise<IDBDatabase> | null = null;

function open(): Promise<IDBDatabase> {
  database ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return database;
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return (await open()).transaction(STORE, mode).objectStore(STORE);
}

/** FNV-1a twice, 32 bits each: equal bytes have equal names. `crypto.subtle` is missing on pages without TLS. */
export function nameOf(bytes: Uint8Array): string {
  let [first, second] = [0x811c9dc5, 0x050c5d1f];
  for (const byte of bytes) {
    first = Math.imul(first ^ byte, 0x01000193);
    second = Math.imul(second ^ byte, 0x01000197);
  }
  return [first, second].map((each) => (each >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Keeps the file and returns its id. The oldest ones make room. */
export async function keepUpload(file: File): Promise<string> {
  const id = nameOf(new Uint8Array(await file.arrayBuffer()));
  await settled((await store("readwrite")).put({ id, blob: file, name: file.name, at: Date.now() } satisfies Upload));
  const all = (await settled((await store("readonly")).getAll())) as Upload[];
  const old = all.sort((a, b) => b.at - a.at).slice(MOST);
  for (const each of old) await settled((await store("readwrite")).delete(each.id));
  return id;
}

/** Null when this browser does not have it (any more). */
export async function uploadOf(id: string): Promise<Upload | null> {
  return ((await settled((await store("readonly")).get(id))) as Upload | undefined) ?? null;
}

/** The file as a `data:` address. */
export function dataAddress(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** The pictures in what was dropped or pasted. A dragged web picture gives an address instead of a file. */
export function picturesIn(data: DataTransfer): { files: File[]; urls: string[] } {
  const files = [...data.files].filter((file) => !file.type || file.type.startsWith("image/"));
  const urls = files.length
    ? []
    : data
        .getData("text/uri-list")
        .split("\n")
        .filter((line) => /^https?:\/\//.test(line));
  return { files, urls: urls.map((each) => each.trim()) };
}
