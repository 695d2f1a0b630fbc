import { expect, it } from "vitest";
import { bytesText } from "./bytes";

it.each([
  [0, "0 byte"],
  [999, "999 byte"],
  [1500, "1.5 kB"],
  [56_760, "57 kB"],
  [2_345_678, "2.3 MB"],
  [7_000_000_000_000_000, "7,000 TB"],
])("%d bytes are %s", (bytes, text) => {
  expect(bytesText(bytes, "en")).toBe(text);
});
