import { expect, it } from "vitest";
import { withOneMitText } from "./licences";

const MIT = "Permission is hereby granted, free of charge,\nto any person.\n\nTHE SOFTWARE IS PROVIDED AS IS.";

it("the text of the MIT licence stands once, all copyright lines and other licences stay", () => {
  const written = [
    "# Licenses\n\n",
    `## a - 1 (MIT)\n\nCopyright A\n\n${MIT}\n\n`,
    `## b - 2 (MIT)\n\nCopyright B\n\n${MIT.replace("\nto", " to")}\n\n`,
    `## c - 3 (MIT)\n\nCopyright C\n\n${MIT.replace("any person", "friends")}\n\n`,
    "## d - 4 (Unlicense)\n",
  ].join("");
  const short = withOneMitText(written);
  expect(short.match(/to any person/g)).toHaveLength(1);
  for (const kept of ["Copyright A\n", "Copyright B\n", "Copyright C\n", "to friends", "## d - 4 (Unlicense)"])
    expect(short).toContain(kept);
  expect(short.endsWith(`${MIT}\n`)).toBe(true);
});

it("without one there is nothing to shorten", () => {
  expect(withOneMitText("## d - 4 (Unlicense)\n")).toBe("## d - 4 (Unlicense)\n");
});
