import { describe, expect, it } from "vitest";
import { readTerm, searchLike, searchPath, type Term, writeTerm } from "./url";

const TERMS: [string, Term][] = [
  ["picture:9f2c4b1d00aa37e5", { kind: "picture", value: "9f2c4b1d00aa37e5", weight: 1 }],
  ["-text:people", { kind: "text", value: "people", weight: -1 }],
  ["0.5*url:https://example.org/a.jpg?b=c:d", { kind: "url", value: "https://example.org/a.jpg?b=c:d", weight: 0.5 }],
  ["-2.25*text:a\nb", { kind: "text", value: "a\nb", weight: -2.25 }],
  ["!text:rain", { kind: "text", value: "rain", weight: -1, exclude: true }],
];

describe("a term in the address", () => {
  it.each(TERMS)("%s is read as it was written", (written, term) => {
    expect(writeTerm(term)).toBe(written);
    expect(readTerm(written)).toEqual(term);
  });

  it.each(["", "people", "picture:", "0*text:a", "99*text:a", "video:a", "x*text:a"])("%s is none", (written) => {
    expect(readTerm(written)).toBeNull();
  });
});

describe("the address of a search", () => {
  it("holds words and terms", () => {
    const path = searchPath({ q: "a & b", terms: [{ kind: "text", value: "c+d", weight: -1 }] });
    const parameters = new URL(path, "http://localhost").searchParams;
    expect(parameters.get("q")).toBe("a & b");
    expect(parameters.getAll("term").map(readTerm)).toEqual([{ kind: "text", value: "c+d", weight: -1 }]);
  });

  it("holds pictures", () => {
    expect(searchLike("a", "b")).toBe("/?term=picture%3Aa&term=picture%3Ab");
  });
});
