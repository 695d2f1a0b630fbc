/** A file with the folders in which it was found, such as `holiday/day 1`; empty for a file that was taken alone. */
export interface Found {
  file: File;
  within: string;
}

const PICTURE =
  /\.(jpe?g|jpe|jfif|jif|a?png|gif|bmp|dib|tiff?|webp|avifs?|hei[cf]s?|hif|jp2|j2k|jp[xf]|j2c|jpc|jxl|dng|cr[23]|nef|nrw|arw|sr2|raf|orf|rw2|pef|srw|3fr)$/i;

/** By its name or, without a known ending, by what the system says of it. */
export const isPicture = (file: File): boolean => PICTURE.test(file.name) || file.type.startsWith("image/");

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/"))).replace(/^\/+/, "");

/** Files of an `<input>`, also of one that takes a folder. */
export const pickedFiles = (files: Iterable<File>): Found[] =>
  [...files].map((file) => ({ file, within: folderOf(file.webkitRelativePath) }));

async function* filesIn(entry: FileSystemEntry): AsyncGenerator<Found> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    yield { file, within: folderOf(entry.fullPath) };
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return;
    for (const each of part) yield* filesIn(each);
  }
}

/** Everything that was dropped, with all that lies in dropped folders. To call at once in the event: it is empty later. */
export async function droppedFiles(data: DataTransfer): Promise<Found[]> {
  const items = [...data.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry());
  if (!entries.every((entry) => entry !== null)) return pickedFiles(data.files);
  const found: Found[] = [];
  for (const entry of entries) for await (const each of filesIn(entry)) found.push(each);
  return found;
}

/** What to add of a selection: files that were named one by one all, of folders only the pictures. */
export function chosen(found: readonly Found[]): { take: Found[]; leave: number } {
  const take = found.filter(({ file, within }) => !within || (isPicture(file) && !file.name.startsWith(".")));
  return { take, leave: found.length - take.length };
}

/** `below` inside of the folder `base`. */
export const joined = (base: string, below: string): string =>
  [...base.split("/"), ...below.split("/")]
    .map((each) => each.trim())
    .filter(Boolean)
    .join("/");

/** The web addresses in a text, one a line or divided by spaces; what is none comes as `other`. */
export function addressesIn(text: string): { urls: string[]; other: string[] } {
  const words = text.split(/\s+/).filter(Boolean);
  const isAddress = (word: string) => /^https?:\/\//i.test(word) && URL.canParse(word);
  return { urls: [...new Set(words.filter(isAddress))], other: words.filter((word) => !isAddress(word)) };
}
