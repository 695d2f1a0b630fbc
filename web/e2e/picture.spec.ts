import { expect, expectAccessible, hits, screen, searchFor, test } from "./fixtures";

test("a picture's page: facts, heat map, likes, the way on and back", async ({ page }) => {
  await page.goto("./");
  await searchFor(page, "a dog in the snow");
  await hits(page).first().click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(/dog in the snow/);
  await expect(page.getByText("animals/dog-in-snow.jpg", { exact: true })).toBeVisible();
  await expect(page.getByText("480 × 360")).toBeVisible();
  await expect(page.getByRole("list", { name: "Pictures like it" }).getByRole("img").first()).toBeVisible();

  await page.getByRole("button", { name: "Show where" }).click();
  const heat = page.getByRole("img", { name: "Where the words fit: most where it is red" });
  await expect(heat).toBeVisible();
  await expect.poll(() => heat.evaluate((image) => (image as HTMLImageElement).naturalWidth)).toBeGreaterThan(100);
  await expectAccessible(page);
  await screen(page, "picture");
  await page.getByRole("button", { name: "Hide", exact: true }).click();
  await expect(heat).toBeHidden();

  await page.keyboard.press("ArrowRight");
  await expect(page.getByText("2 of 60")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page).toHaveURL(/\?q=a\+dog/);
});

test("the file that is downloaded is the picture", async ({ page }) => {
  await page.goto("./?q=a+dog+in+the+snow");
  await hits(page).first().click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Download" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("dog-in-snow.jpg");
  const chunks: Buffer[] = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).subarray(0, 3).toString("hex")).toBe("ffd8ff");
});

test("caption and tags are edited, and the captioner writes one", async ({ page }) => {
  await page.goto("./?q=a+pizza");
  await hits(page).first().click();
  const heading = page.getByRole("heading", { level: 1 });
  const before = await heading.textContent();
  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.getByRole("textbox", { name: "What it shows" }).fill("supper on Friday");
  await page.getByRole("textbox", { name: "Tags" }).fill("kitchen, friday,");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(heading).toHaveText("supper on Friday");
  await expect(page.getByRole("list", { name: "Tags" }).getByRole("listitem")).toHaveText(["kitchen", "friday"]);

  await page.getByRole("button", { name: "Edit", exact: true }).click();
  await page.getByRole("button", { name: "Let the captioner describe it" }).click();
  await expect(page.getByRole("textbox", { name: "What it shows" })).toHaveValue(before ?? "");
  await page.getByRole("textbox", { name: "Tags" }).fill("");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(heading).toHaveText(before ?? "");
  await expect(page.getByRole("list", { name: "Tags" })).toBeHidden();
});

test("a deleted picture is not found any more, until that is undone", async ({ page }) => {
  await page.goto("./");
  await searchFor(page, "a snowman");
  const name = await hits(page).first().getByRole("img").getAttribute("alt");
  const link = await hits(page).first().getAttribute("href");
  await hits(page).first().click();
  await page.getByRole("button", { name: "Delete" }).click();
  const undo = page.getByRole("button", { name: "Undo" });
  await expect(undo).toBeVisible();
  await page.goto(link ?? "");
  await expect(page.getByRole("heading", { name: "There is no such picture" })).toBeVisible();
  await screen(page, "picture-gone");
  await page.goto("./library");
  await page.getByText("Deleted lately").click();
  await page.getByRole("button", { name: "Undo" }).first().click();
  await expect(page.getByText("1 picture is back.")).toBeVisible();
  await page.goto(link ?? "");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(name ?? "");
});

test("copies of the same photo are named", async ({ page }) => {
  await page.goto("./?q=a+dog+on+grass");
  await expect(hits(page).first()).toBeVisible();
  await page.locator('[data-index="0"]').click();
  await expect(page.getByRole("heading", { name: /same photo/ })).toBeVisible();
  await page.getByRole("link", { name: "Search with it" }).click();
  await expect(page).toHaveURL(/term=picture/);
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /dog/);
});
