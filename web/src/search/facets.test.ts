import { expect, it } from "vitest";
import { facetsOf } from "./facets";

const MATCHES = {
  folders: [
    { path: "b", count: 9 },
    { path: "", count: 2 },
    { path: "a", count: 1 },
  ],
};
const HITS = ["c", "b", "c"].map((folder) => ({ folder }));

it("counts what fits, not the hits that happen to be shown", () => {
  expect(facetsOf(MATCHES, HITS, [])).toEqual([
    { folder: "b", count: 9 },
    { folder: "", count: 2 },
    { folder: "a", count: 1 },
  ]);
});

it("counts what is below a folder too, for a choice of it searches there", () => {
  const nested = {
    folders: [
      { path: "animals/dogs", count: 4 },
      { path: "animalsets", count: 3 },
      { path: "animals", count: 2 },
      { path: "animals/dogs/puppies", count: 1 },
      { path: "", count: 1 },
    ],
  };
  expect(facetsOf(nested, [], ["animals", "gone"])).toEqual([
    { folder: "animals", count: 7 },
    { folder: "animals/dogs", count: 5 },
    { folder: "animalsets", count: 3 },
    { folder: "animals/dogs/puppies", count: 1 },
    { folder: "", count: 1 },
    { folder: "gone", count: 0 },
  ]);
});

it("counts a chosen folder whose pictures are all below it", () => {
  expect(facetsOf({ folders: [{ path: "a/b", count: 2 }] }, [], ["a"])).toContainEqual({ folder: "a", count: 2 });
});

it("names the folders of the hits where it is not known what fits, or nothing does", () => {
  const named = [
    { folder: "c", count: null },
    { folder: "b", count: null },
  ];
  expect(facetsOf(undefined, HITS, [])).toEqual(named);
  expect(facetsOf({ folders: [] }, HITS, [])).toEqual(named);
});

it("keeps what is chosen, in its place, however many others there are", () => {
  const many = { folders: Array.from({ length: 30 }, (_, i) => ({ path: `f${i}`, count: 30 - i })) };
  const shown = facetsOf(many, [], ["f20", "gone"]).map((each) => each.folder);
  expect(shown).toEqual([...Array.from({ length: 10 }, (_, i) => `f${i}`), "f20", "gone"]);
});
