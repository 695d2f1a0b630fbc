import { deflateSync } from "node:zlib";
import type { Page, Route } from "@playwright/test";

const PAGE_SIDE = 2048;
const ids = (count: number, first = 1) =>
  Array.from({ length: count }, (_, i) => (i + first).toString(16).padStart(16, "0"));

/** What the map says the next time that it is asked for. */
interface Served {
  pending: string[];
  /** Mirrored: another layout of the same pictures. */
  mirrored: boolean;
  /** Number of the first picture; pictures before it are gone, and as many others have come. */
  first: number;
}

/** A library that does not exist: its map and the pages of its atlas are answered in place of the service. */
export async function serveMapOf(page: Page, count: number): Promise<Served> {
  const served: Served = { pending: [], mirrored: false, first: 1 };
  const drawn = new Map<number, Buffer>();
  const thumbnail = png(192, 256, 256, () => [120, 60, 40]);
  const json = (route: Route, body: unknown) => route.fulfill({ json: body });
  await page.route(/\/api\/v1\/map\b/, (route) =>
    route.fulfill({ body: mapOf(count, served), contentType: "application/vnd.image2search.map" }),
  );
  await page.route(/\/api\/v1\/atlas\?/, (route) => json(route, atlasOf(count, cellIn(route))));
  await page.route(/\/api\/v1\/atlas\/\d+/, (route) => {
    const cell = cellIn(route);
    const body = drawn.get(cell) ?? png(PAGE_SIDE, PAGE_SIDE, cell, colourOf);
    drawn.set(cell, body);
    return route.fulfill({ body, contentType: "image/png" });
  });
  await page.route(/\/api\/v1\/images\/\w+\/thumbnail/, (route) =>
    route.fulfill({ body: thumbnail, contentType: "image/png" }),
  );
  await page.route(/\/api\/v1\/images\/\w+$/, (route) =>
    json(route, {
      image_id: route.request().url().slice(-16),
      object_key: "a/b.jpg",
      caption: null,
      width: 4,
      height: 3,
    }),
  );
  return served;
}

const cellIn = (route: Route) => Number(new URL(route.request().url()).searchParams.get("cell"));
const colourOf = (column: number, row: number) => [
  40 + ((column * 53) % 200),
  40 + ((row * 31) % 200),
  (column * row * 7) % 256,
];

/** Forty heaps of pictures, as the binary form of the map has them. */
function mapOf(count: number, { pending, mirrored, first }: Served): Buffer {
  const regions = Array.from({ length: 40 }, (_, i) => ({
    name: `region ${i + 1}`,
    x: mirrored ? 7.5 - (i % 8) : (i % 8) + 0.5,
    y: Math.floor(i / 8) + 0.5,
    count: Math.floor(count / 40),
  }));
  const rest = Buffer.from(JSON.stringify({ pending, regions, count }));
  const body = Buffer.alloc(32 + 12 * count + rest.length);
  body.write("I2SM");
  body.writeUInt32LE(1, 4);
  body.writeUInt32LE(count, 8);
  body.writeUInt32LE(rest.length, 12);
  [0, 0, 8, 5].forEach((value, i) => {
    body.writeFloatLE(value, 16 + 4 * i);
  });
  ids(count, first).forEach((id, i) => {
    body.writeBigUInt64LE(BigInt(`0x${id}`), 32 + 8 * i);
    const region = regions[i % 40];
    const angle = i * 2.39996;
    const away = 0.4 * Math.sqrt(((i * 7919) % count) / count);
    const x = (region?.x ?? 0) + away * Math.cos(angle);
    const y = (region?.y ?? 0) + away * Math.sin(angle);
    body.writeUInt16LE(Math.round((x / 8) * 65535), 32 + 8 * count + 4 * i);
    body.writeUInt16LE(Math.round((y / 5) * 65535), 34 + 8 * count + 4 * i);
  });
  rest.copy(body, 32 + 12 * count);
  return body;
}

function atlasOf(count: number, cell: number) {
  const perRow = PAGE_SIDE / cell;
  const perPage = perRow ** 2;
  const pages = Array.from({ length: Math.ceil(count / perPage) }, (_, page) => ({
    page,
    url: `http://elsewhere.test/api/v1/atlas/${page}?cell=${cell}&v=0123456789abcdef`,
    width: PAGE_SIDE,
    height: PAGE_SIDE,
  }));
  const images = ids(count).map((id, i) => {
    const place = i % perPage;
    return {
      id,
      page: Math.floor(i / perPage),
      x: (place % perRow) * cell,
      y: Math.floor(place / perRow) * cell,
      w: cell,
      h: i % 3 ? Math.round(cell * 0.75) : cell,
    };
  });
  return { cell, count, generation: "00000001-synthetic", pages, images };
}

/** An RGB picture as a PNG file, in squares of one colour each. */
function png(width: number, height: number, side: number, colour: (column: number, row: number) => number[]): Buffer {
  const line = 1 + 3 * width;
  const rows = Buffer.alloc(height * line);
  for (let y = 0; y < height; y++) {
    if (y % side) rows.copyWithin(y * line, (y - 1) * line, y * line);
    else for (let x = 0; x < width; x++) rows.set(colour(Math.floor(x / side), y / side), y * line + 1 + 3 * x);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(rows, { level: 1 });
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name), data]);
  const whole = Buffer.alloc(8 + body.length);
  whole.writeUInt32BE(data.length, 0);
  body.copy(whole, 4);
  whole.writeUInt32BE(crc(body), 4 + body.length);
  return whole;
}

function crc(data: Buffer): number {
  let value = 0xffffffff;
  for (const byte of data) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  }
  return (value ^ 0xffffffff) >>> 0;
}
