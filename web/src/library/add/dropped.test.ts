import { describe, expect, it } from "vitest";
import { addressesIn, chosen, isPicture, joined } from "./dropped";

const file = (name: string, type = "") => new File([], name, { type });

describe("what is dropped", () => {
  it("is taken when it was named, and of folders only if it is a picture", () => {
    const found = [
      { file: file("notes.txt"), within: "" },
      { file: file("notes.txt"), within: "holiday" },
      { file: file(".hidden.jpg"), within: "holiday" },
      { file: file("a.HEIC"), within: "holiday/day 1" },
    ];
    const { take, leave } = chosen(found);
    expect(take.map(({ file, within }) => `${within}/${file.name}`)).toEqual(["/notes.txt", "holiday/day 1/a.HEIC"]);
    expect(leave).toBe(2);
  });

  it("is a picture by its ending or its type", () => {
    expect(["a.jpg", "b.CR3", "c.jxl"].map((name) => isPicture(file(name)))).toEqual([true, true, true]);
    expect(isPicture(file("image", "image/png"))).toBe(true);
    expect(isPicture(file("a.mp4", "video/mp4"))).toBe(false);
  });
});

it("folders are joined without slashes too many", () => {
  expect(joined("/a/ b /", "c//d")).toBe("a/b/c/d");
  expect(joined("", "")).toBe("");
});

it("addresses are found among words, each once", () => {
  const { urls, other } = addressesIn("https://a.org/1.jpg\n https://a.org/1.jpg example.org/x http://b.org");
  expect(urls).toEqual(["https://a.org/1.jpg", "http://b.org"]);
  expect(other).toEqual(["example.org/x"]);
});
