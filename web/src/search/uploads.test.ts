import { expect, it } from "vitest";
import { nameOf } from "./uploads";

it("names bytes by all of them", () => {
  const bytes = new Uint8Array(100_000).map((_, i) => i % 251);
  const other = bytes.slice();
  other[99_998] = 7;
  expect(nameOf(bytes)).toMatch(/^[0-9a-f]{16}$/);
  expect(nameOf(bytes.slice())).toBe(nameOf(bytes));
  expect(nameOf(other)).not.toBe(nameOf(bytes));
  expect(nameOf(new Uint8Array())).not.toBe(nameOf(new Uint8Array(1)));
});
