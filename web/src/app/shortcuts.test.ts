import { expect, it } from "vitest";
import { matches } from "./shortcuts";

const press = (key: string, ctrlKey = false) => new KeyboardEvent("keydown", { key, ctrlKey });

it("a shortcut names one key, or Ctrl and a key; plus is a key, too", () => {
  expect(matches("+", press("+"))).toBe(true);
  expect(matches("+", press("+", true))).toBe(false);
  expect(matches("Ctrl++", press("+", true))).toBe(true);
  expect(matches("Ctrl+a", press("A", true))).toBe(true);
  expect(matches("Ctrl+a", press("a"))).toBe(false);
  expect(matches("=", press("+"))).toBe(false);
});
