import { describe, expect, it } from "vitest";
import type { ImageInfo } from "../../api/client";
import { bytesOf, type Group, othersOf, split } from "./choice";

const image = (id: string, size = 10) => ({ image_id: id, size_bytes: size }) as ImageInfo;
const group = (id: string, keep: string, ...others: string[]) =>
  ({
    id,
    keep: image(keep),
    others: others.map((each) => ({ image: image(each), score: 1, turned: false })),
  }) as unknown as Group;
const ids = (images: ImageInfo[]) => images.map((each) => each.image_id);

describe("a group", () => {
  it("keeps the suggested picture, or the one that was chosen", () => {
    expect(ids(split(group("g", "a", "b", "c"), {}).others)).toEqual(["b", "c"]);
    const { keep, others } = split(group("g", "a", "b", "c"), { g: "b" });
    expect([keep.image_id, ...ids(others)]).toEqual(["b", "a", "c"]);
  });

  it("forgets a choice that is not in it any more", () => {
    expect(split(group("g", "a", "b"), { g: "gone" }).keep.image_id).toBe("a");
  });
});

it("all groups together delete nothing that one of them keeps, and nothing twice", () => {
  const groups = [group("1", "a", "b", "c"), group("2", "d", "a", "c")];
  expect(ids(othersOf(groups, {}))).toEqual(["b", "c"]);
  expect(bytesOf(othersOf(groups, {}))).toBe(20);
});
