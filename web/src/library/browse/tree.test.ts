import { describe, expect, it } from "vitest";
import { ancestorsOf, flat, treeOf } from "./tree";

const count = (path: string, direct = 1, nested = direct) => ({ path, direct, nested });

describe("the tree of folders", () => {
  it("nests them, and sorts numbers as numbers", () => {
    const tree = treeOf([count("b"), count("a/day 10"), count("a", 0, 2), count("a/day 9")]);
    expect(flat(tree).map(({ folder, depth }) => [folder.name, depth])).toEqual([
      ["a", 0],
      ["day 9", 1],
      ["day 10", 1],
      ["b", 0],
    ]);
  });

  it("keeps the counts, also of a parent that comes after its child", () => {
    const [a] = treeOf([count("a/b", 3), count("a", 1, 4)]);
    expect(a).toMatchObject({ direct: 1, nested: 4, children: [{ direct: 3 }] });
  });

  it("makes up a parent that is not listed", () => {
    const [a] = treeOf([count("a/b/c")]);
    expect(a?.children[0]?.children[0]?.path).toBe("a/b/c");
  });

  it("is not confused by names that begin alike", () => {
    expect(treeOf([count("nature"), count("nature2/x")]).map((each) => each.name)).toEqual(["nature", "nature2"]);
  });
});

it("ancestors lead from the top to the folder itself", () => {
  expect(ancestorsOf("nature/beach/2024")).toEqual(["nature", "nature/beach", "nature/beach/2024"]);
});
