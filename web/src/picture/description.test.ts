import { expect, it } from "vitest";
import { tagsOf } from "./description";

it("reads tags between commas, each once", () => {
  expect(tagsOf(" sea,, holiday at home ,sea")).toEqual(["sea", "holiday at home"]);
});
