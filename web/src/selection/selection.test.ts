import { beforeEach, describe, expect, it } from "vitest";
import { partsOf } from "./deletion";
import { between, selection } from "./selection";

const ORDER = ["a", "b", "c", "d", "e"];
const ALL = { meant: { filters: { folder: ["nature"] } }, count: 300 };

beforeEach(() => selection.clear());

describe("a range", () => {
  it("goes from the last picture that was taken alone, in either direction", () => {
    selection.toggle("d");
    selection.extendTo("b", ORDER);
    expect([...selection.current()].sort()).toEqual(["b", "c", "d"]);
  });

  it("is the picture alone when the other end is not in the list", () => {
    expect(between(ORDER, "gone", "c")).toEqual(["c"]);
  });
});

describe("everything that filters find", () => {
  it("ticks the pictures that are shown, and those that come later", () => {
    selection.takeEverything(ALL, ["a", "b"]);
    selection.showMore(["b", "c"]);
    expect([...selection.current()]).toEqual(["a", "b", "c"]);
    expect(selection.everything()).toEqual(ALL);
  });

  it("ends with the first change by hand: then only what was shown is selected", () => {
    selection.takeEverything(ALL, ["a", "b"]);
    selection.toggle("a");
    expect(selection.everything()).toBeNull();
    expect([...selection.current()]).toEqual(["b"]);
    selection.showMore(["c"]);
    expect([...selection.current()]).toEqual(["b"]);
  });
});

it("a deletion of many ids is sent in parts, one of filters as it is", () => {
  const ids = Array.from({ length: 25_000 }, (_, i) => String(i));
  const parts = partsOf({ image_ids: ids });
  expect(parts.map((each) => each.image_ids?.length)).toEqual([10_000, 10_000, 5_000]);
  expect(parts.flatMap((each) => each.image_ids)).toEqual(ids);
  expect(partsOf({ filters: {} })).toEqual([{ filters: {} }]);
});
