import type { Page } from "@playwright/test";
import { expect, expectAccessible, screen, test } from "./fixtures";

/** `service.ts` puts a copy of a sample there. */
const COPY = "dog again.jpg";
const ORIGINAL = "dog-on-grass.jpg";

const groupOfCopy = (page: Page) => page.getByRole("listitem").filter({ hasText: COPY });

test("three kinds are explained, with the best of each group and the reason", async ({ page }) => {
  await page.goto("library/duplicates");
  const kinds = page.getByRole("navigation", { name: "Kinds of duplicates" });
  await expect(page.getByText("One photo in several files")).toBeVisible();
  await kinds.getByRole("link", { name: "Very similar" }).click();
  await expect(page.getByText("They are not the same: look before you delete.")).toBeVisible();
  await kinds.getByRole("link", { name: "The same file" }).click();
  await expect(page).toHaveURL(/kind=bytes/);
  await expect(groupOfCopy(page)).toContainText("is the oldest");
  await expect(groupOfCopy(page).getByRole("radio")).toHaveCount(2);
  await expectAccessible(page);
  await screen(page, "library-duplicates");
});

test("another one is kept, the other is deleted, and comes back", async ({ page }) => {
  await page.goto("library/duplicates?kind=bytes");
  const group = groupOfCopy(page);
  await group.getByRole("figure").filter({ hasText: COPY }).getByRole("radio").check();
  await expect(group.getByRole("figure").filter({ hasText: COPY })).toContainText("Stays");
  await group.getByRole("button", { name: /^Delete the other/ }).click();
  await expect(page.getByRole("dialog")).toContainText("This frees");
  await page.getByRole("button", { name: "Delete 1 picture" }).click();
  await expect(group).toHaveCount(0);
  await page.goto("library?folder=copies");
  await expect(page.getByRole("link", { name: /dog/ })).toHaveCount(1);
  await page.getByText("Deleted lately").click();
  await page.getByRole("complementary").getByRole("button", { name: "Undo" }).click();
  await expect(page.getByText("1 picture is back.")).toBeVisible();
  await page.goto("library/duplicates?kind=bytes");
  await expect(groupOfCopy(page).getByRole("figure").filter({ hasText: ORIGINAL })).toBeVisible();
});

test("all groups of the page are accepted at once, and undone", async ({ page }) => {
  await page.goto("library/duplicates?kind=bytes");
  await expect(groupOfCopy(page)).toBeVisible();
  await page.getByRole("button", { name: "Accept all on this page" }).click();
  await expect(page.getByRole("dialog")).toContainText(/This frees [\d.]+ .?B/);
  await expectAccessible(page);
  await page.getByRole("button", { name: /^Delete \d+ pictures?$/ }).click();
  await expect(page.getByRole("heading", { name: "No duplicates of this kind" })).toBeVisible();
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(groupOfCopy(page)).toBeVisible();
});

test("a dismissed group stays away, until it is restored", async ({ page }) => {
  await page.goto("library/duplicates?kind=bytes");
  await groupOfCopy(page).getByRole("button", { name: "These are no duplicates" }).click();
  await expect(groupOfCopy(page)).toHaveCount(0);
  await page.reload();
  await expect(page.getByRole("link", { name: "Show dismissed groups" })).toBeVisible();
  await expect(groupOfCopy(page)).toHaveCount(0);
  await page.getByRole("link", { name: "Show dismissed groups" }).click();
  await groupOfCopy(page).getByRole("button", { name: "They are duplicates after all" }).click();
  await expect(page.getByRole("heading", { name: "No group is dismissed" })).toBeVisible();
  await page.getByRole("link", { name: "Back to the duplicates" }).click();
  await expect(groupOfCopy(page)).toBeVisible();
});
