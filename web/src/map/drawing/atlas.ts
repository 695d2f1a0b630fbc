import { API } from "../../api/addresses";
import { answer, api, request, type Schemas } from "../../api/client";
import { authorization } from "../../api/key";
import { serviceError } from "../../api/problems";

/** Sides of cells that the map asks for, pixels. Larger pictures come from thumbnails, one by one. */
export const CELLS = [32, 64, 128] as const;
export type Cell = (typeof CELLS)[number];

type Place = Schemas["AtlasImage"];

/** An atlas with the numbers that the map gives to pictures. */
export interface Atlas {
  cell: Cell;
  pages: AtlasPage[];
  /** By picture; -1: it is not in the atlas. */
  pageOf: Int16Array;
}

export interface AtlasPage {
  number: number;
  version: string;
  width: number;
  height: number;
  pictures: Uint32Array;
  places: Place[];
}

const DRAWING_RETRIES = 8;

/** Where the pictures lie on the pages. `numbers`: of each id. */
export async function atlasOf(cell: Cell, numbers: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Atlas> {
  const info = await answer(api.GET("/api/v1/atlas", { params: { query: { cell } }, signal }));
  const onPage = info.pages.map((): Place[] => []);
  for (const place of info.images) if (numbers.has(place.id)) onPage[place.page]?.push(place);
  const pageOf = new Int16Array(numbers.size).fill(-1);
  const pages = info.pages.map((page): AtlasPage => {
    const places = onPage[page.page] ?? [];
    const pictures = Uint32Array.from(places, ({ id }) => numbers.get(id) ?? 0);
    for (const each of pictures) pageOf[each] = page.page;
    const version = new URL(page.url).searchParams.get("v") ?? "";
    return { number: page.page, version, width: page.width, height: page.height, pictures, places };
  });
  return { cell, pages, pageOf };
}

/** Where the pixels of a page are. */
export const pageAddress = (cell: Cell, page: AtlasPage): string =>
  `${API}/atlas/${page.number}?${new URLSearchParams({ cell: String(cell), v: page.version })}`;

/** Pixels, decoded beside the main thread. Waits while the service draws them for the first time. Raises ServiceError. */
export async function pixels(
  address: string,
  signal: AbortSignal,
  size: { width: number; height: number } | null = null,
): Promise<ImageBitmap> {
  const resize: ImageBitmapOptions = size
    ? { resizeWidth: size.width, resizeHeight: size.height, resizeQuality: "medium" }
    : {};
  for (let left = DRAWING_RETRIES; ; left--) {
    const response = await request(address, { headers: authorization(), signal });
    if (response.ok) return createImageBitmap(await response.blob(), { ...resize, premultiplyAlpha: "none" });
    const error = serviceError(response, await response.json().catch(() => null));
    if (response.status !== 503 || !left) throw error;
    await pause((error.retryAfterS ?? 1) * 1000, signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
