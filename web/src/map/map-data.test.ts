import { expect, it } from "vitest";
import { readMap } from "./map-data";

function written(): ArrayBuffer {
  const rest = new TextEncoder().encode(
    JSON.stringify({ pending: ["names"], regions: [{ name: "cats", x: 1, y: 1, count: 2 }] }),
  );
  const view = new DataView(new ArrayBuffer(32 + 12 * 2 + rest.length));
  new TextEncoder().encode("I2SM").forEach((byte, i) => {
    view.setUint8(i, byte);
  });
  for (const [at, value] of [
    [4, 1],
    [8, 2],
    [12, rest.length],
  ] as const)
    view.setUint32(at, value, true);
  [-1, 0, 3, 2].forEach((value, i) => {
    view.setFloat32(16 + 4 * i, value, true);
  });
  view.setBigUint64(32, 0x00f2c4b1d00aa37en, true);
  view.setBigUint64(40, 0xffffffffffffffffn, true);
  [0, 65535, 65535, 0].forEach((value, i) => {
    view.setUint16(48 + 2 * i, value, true);
  });
  new Uint8Array(view.buffer).set(rest, 56);
  return view.buffer;
}

it("ids, coordinates in their proportions, and regions in the same ones", () => {
  const map = readMap(written());
  expect(map.ids).toEqual(["00f2c4b1d00aa37e", "ffffffffffffffff"]);
  expect([...map.xs]).toEqual([0, 1]);
  expect([...map.ys]).toEqual([0.5, 0]);
  expect(map.regions).toEqual([{ name: "cats", x: 0.5, y: 0.25, count: 2 }]);
  expect(map.pending).toEqual(["names"]);
});

it("anything else is refused", () => {
  expect(() => readMap(new ArrayBuffer(64))).toThrow("can't read");
});
