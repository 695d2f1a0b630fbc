import { expect, expectAccessible, hits, screen, test } from "./fixtures";

test("words become a picture, which is searched with and put into the library", async ({ page }) => {
  test.setTimeout(90_000);
  await page.goto("./generate?prompt=a+red+apple");
  await expect(page.getByRole("textbox", { name: "What to draw" })).toHaveValue("a red apple");
  await page.getByText("Options").click();
  await page.getByRole("spinbutton", { name: "Steps" }).fill("60");
  await page.getByRole("spinbutton", { name: "Seed" }).fill("7");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await expect(page.getByRole("progressbar")).toBeVisible();
  await expect(page.getByRole("img", { name: "How it looks by now" })).toBeVisible({ timeout: 40_000 });
  await screen(page, "generate-running");
  const drawn = page.getByRole("list", { name: "Drawn pictures" }).getByRole("img", { name: "a red apple" });
  await expect(drawn).toBeVisible({ timeout: 40_000 });
  await expect.poll(() => drawn.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(60);
  await expectAccessible(page);
  await screen(page, "generate");

  await page.reload();
  await expect(drawn).toBeVisible();
  await page.getByRole("button", { name: "Put it into the library" }).click();
  await page.getByRole("combobox", { name: "Folder" }).fill("drawn");
  await page.getByRole("button", { name: "Put it there" }).click();
  await expect(page.getByRole("link", { name: "In the library" })).toBeVisible();

  await page.getByRole("button", { name: "Find similar in my library" }).click();
  await expect(page).toHaveURL(/term=picture/);
  await expect(hits(page).first()).toBeVisible();

  const answer = await page.request.get("./api/v1/images?folder=drawn");
  const { images } = (await answer.json()) as { images: { image_id: string }[] };
  expect(images).toHaveLength(1);
  for (const { image_id } of images) await page.request.delete(`./api/v1/images/${image_id}?permanently=true`);
});

test("a drawing begins from a picture of the library, and can be cancelled", async ({ page }) => {
  test.setTimeout(60_000);
  await page.goto("./?q=a+cat");
  await hits(page).first().click();
  await page.getByRole("link", { name: "Draw from it" }).click();
  await expect(page.getByRole("img", { name: "What to begin from" })).toBeVisible();
  await page.getByRole("textbox", { name: "What to draw" }).fill("a cat at night");
  await page.getByText("Options").click();
  await page.getByRole("spinbutton", { name: "Steps" }).fill("90");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByText("It was cancelled.")).toBeVisible({ timeout: 30_000 });
});

test("what is wrong with a wish is said", async ({ page }) => {
  await page.goto("./generate");
  await page.getByRole("textbox", { name: "What to draw" }).fill("a cat");
  await page.getByText("Options").click();
  await page.getByRole("textbox", { name: "Size" }).fill("97x4000");
  await page.getByRole("button", { name: "Draw", exact: true }).click();
  await expect(page.getByRole("alert")).toContainText(/multiple|pixels|side/);
});
