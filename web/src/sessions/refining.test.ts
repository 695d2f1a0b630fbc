import { expect, it } from "vitest";
import { firstFeedback } from "./refining";

it("says minus words as feedback", () => {
  const term = [
    { kind: "text" as const, value: "trees", weight: -1 },
    { kind: "text" as const, value: "snow", weight: 1 },
    { kind: "picture" as const, value: "9f2c", weight: -1 },
    { kind: "text" as const, value: "people", weight: -0.5 },
  ];
  expect(firstFeedback({ term })).toBe("without trees, without people");
});
