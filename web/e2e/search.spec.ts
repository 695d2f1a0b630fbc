import { readFile } from "node:fs/promises";
import path from "node:path";
import { devices } from "@playwright/test";
import { expect, expectAccessible, hits, SAMPLES, screen, searchFor, test } from "./fixtures";

const CAT = path.join(SAMPLES, "animals/cat-on-grass.jpg");

test("the first page sells the search and offers some to try", async ({ page }) => {
  await page.goto("./");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Find a picture by what it shows");
  await expect(page.getByRole("list", { name: "Newest pictures" }).getByRole("img").first()).toBeVisible();
  await expectAccessible(page);
  await screen(page, "start");
  await page.getByRole("list", { name: "Searches to try" }).getByRole("link").first().click();
  await expect(hits(page).first()).toBeVisible();
});

test("words find pictures, and the address holds the search", async ({ page, context }) => {
  await page.goto("./");
  await searchFor(page, "a red car at night");
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /red car/);
  await expect(page).toHaveURL(/\?q=a\+red\+car\+at\+night$/);
  await expect(page).toHaveTitle("a red car at night – image2search");
  await expectAccessible(page);
  await screen(page, "search");

  const shared = await context.newPage();
  await shared.goto(page.url());
  await expect(hits(shared).first().getByRole("img")).toHaveAttribute("alt", /red car/);
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Find a picture by what it shows");
});

test("pointing at a hit tells why it is there", async ({ page }) => {
  await page.goto("./?q=a+dog+in+the+snow");
  await hits(page).first().hover();
  const tile = page.getByRole("list", { name: "Hits", exact: true }).getByRole("listitem").first();
  await expect(tile).toContainText("%");
  await expect(tile).toContainText(/20\d\d/);
  await expect(tile).toContainText("dog in the snow");
});

test("a dropped picture finds its likes, and minus words take away", async ({ page }) => {
  await page.goto("./");
  const content = (await readFile(CAT)).toString("base64");
  const transfer = await page.evaluateHandle((encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (each) => each.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "cat.jpg", { type: "image/jpeg" }));
    return data;
  }, content);
  const box = page.getByRole("search");
  await box.dispatchEvent("dragenter", { dataTransfer: transfer });
  await expect(page.getByText("Drop it to search with it")).toBeVisible();
  await box.dispatchEvent("drop", { dataTransfer: transfer });
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /cat/);
  await expect(page).toHaveURL(/term=upload/);

  await page.getByRole("searchbox").fill("grass");
  await page.getByRole("button", { name: "without" }).click();
  await expect(page.getByRole("list", { name: "Parts of the search" }).getByRole("listitem")).toHaveCount(2);
  await expect(page).toHaveURL(/term=-text(%3A|:)grass/);
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /cat/);
  await expectAccessible(page);
  await screen(page, "picture-and-minus");

  await page.reload();
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /cat/);
  await page.getByRole("button", { name: "Look for grass instead of away from it" }).click();
  await expect(page).toHaveURL(/term=text(%3A|:)grass/);
  await page.getByRole("button", { name: "Remove cat.jpg" }).click();
  await expect(hits(page).first().getByRole("img")).not.toHaveAttribute("alt", /cat/);
});

test("a picture of another browser is said to be missing", async ({ page }) => {
  await page.goto("./?term=upload:0123456789abcdef");
  await expect(page.getByRole("heading", { name: "The picture of this search is not here" })).toBeVisible();
});

test("a folder in the words is a chip that can be removed", async ({ page }) => {
  await page.goto("./");
  await searchFor(page, "dogs in the animals folder");
  const parts = page.getByRole("list", { name: "Parts of the search" });
  await expect(parts).toContainText("animals");
  await parts.getByRole("button", { name: "Search outside of animals too" }).click();
  await expect(page.getByText("All folders are searched.")).toBeVisible();
  await page
    .getByRole("list", { name: "Folders of the hits" })
    .getByRole("button", { name: /^animals/ })
    .click();
  await expect(page).toHaveURL(/folder=animals/);
  await expect(parts).toContainText("animals");
});

test("folders count all pictures that fit, and a button selects them", async ({ page, request }) => {
  await page.goto("./");
  await searchFor(page, "snow");
  const body = { terms: [{ text: "snow" }], minus_words: true, auto_folder: true };
  const matches = await (await request.post("./api/v1/search/matches", { data: body })).json();
  expect(matches.image_ids.length).toBeGreaterThan(3);
  const folders = page.getByRole("list", { name: "Folders of the hits" });
  for (const { path } of matches.folders) {
    const inside = matches.folders.filter((each: { path: string }) => `${each.path}/`.startsWith(`${path}/`));
    const count = inside.reduce((sum: number, each: { count: number }) => sum + each.count, 0);
    await expect(folders.getByRole("button", { name: `${path} ${count}`, exact: true })).toBeVisible();
  }
  await page.getByRole("button", { name: "Select them" }).click();
  await expect(page.getByText(`${matches.image_ids.length} pictures selected`)).toBeVisible();
  await page.keyboard.press("Escape"); // ends the selection, not the search
  await expect(page.getByRole("region", { name: "Selection" })).toBeHidden();

  await folders.getByRole("button", { name: /^animals/ }).click();
  await expect(page).toHaveURL(/folder=animals/);
  await expect(folders.getByRole("button", { name: /^animals/ })).toHaveAttribute("aria-pressed", "true");
  expect(await folders.getByRole("button").count(), "the others can still be chosen").toBe(matches.folders.length);
});

test("Escape closes a popup and keeps the selection", async ({ page }) => {
  await page.goto("./?q=a+cat&term=text:grass");
  await hits(page)
    .first()
    .click({ modifiers: ["ControlOrMeta"] });
  await expect(page.getByText("1 picture selected")).toBeVisible();
  for (const name of ["How much grass counts", "Settings"]) {
    const button = page.getByRole("button", { name });
    await button.click();
    await expect(button).toHaveAttribute("aria-expanded", "true");
    await button.press("Escape");
    await expect(button).toHaveAttribute("aria-expanded", "false");
    await expect(page.getByText("1 picture selected")).toBeVisible();
  }
});

test("an honest answer where nothing fits", async ({ page }) => {
  await page.goto("./");
  await searchFor(page, "a tax form from the ministry of finance");
  await expect(page.getByText("Probably nothing here fits well.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Select them" })).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Draw it instead" })).toHaveAttribute("href", /generate\?prompt=a%20tax/);
  await screen(page, "nothing-fits");
  await page.getByRole("button", { name: "Search names and captions too" }).click();
  await expect(page).toHaveURL(/mode=hybrid/);
});

test("minus words in the text are read, and can be taken as they are", async ({ page }) => {
  await page.goto("./?q=a+house+without+snow");
  await expect(page.getByText("Looked for “a house” without “snow”.")).toBeVisible();
  await page.getByRole("button", { name: "Take the words as they are" }).click();
  await expect(page).toHaveURL(/minus=false/);
  await expect(page.getByText("Looked for")).toBeHidden();
});

test("far down the list there are more pictures, and few of them are in the page", async ({ page }) => {
  await page.goto("./?q=an+animal&guess=false");
  await expect(hits(page).first()).toBeVisible();
  const status = page.getByRole("status").filter({ hasText: /picture|best/ });
  await expect(async () => {
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await expect(status).toContainText("342 pictures", { timeout: 1_000 });
  }).toPass({ timeout: 20_000 });
  await expect(async () => {
    await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await expect(page.locator('[data-index="341"]')).toBeVisible({ timeout: 1_000 });
  }).toPass({ timeout: 10_000 });
  expect(await hits(page).count()).toBeLessThan(80);

  const before = await page.evaluate(() => scrollY);
  await page.locator('[data-index="341"]').click();
  await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  await page.getByRole("button", { name: "Back", exact: true }).click();
  await expect(page.locator('[data-index="341"]')).toBeVisible();
  await expect.poll(() => page.evaluate(() => scrollY)).toBe(before);
});

test("the keyboard leads through the hits", async ({ page }) => {
  await page.goto("./?q=a+cat");
  await expect(hits(page).first()).toBeVisible();
  await page.keyboard.press("ArrowDown");
  await expect(page.locator('[data-index="0"]')).toBeFocused();
  await page.keyboard.press("ArrowRight");
  await expect(page.locator('[data-index="1"]')).toBeFocused();
  await page.keyboard.press("ArrowDown");
  await expect(page.locator('[data-index="1"]')).not.toBeFocused();
  await page.keyboard.press("Home");
  await page.keyboard.press("x");
  await expect(page.getByText("1 picture selected")).toBeVisible();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keyboard shortcuts" })).toContainText("To the search box");
  await screen(page, "shortcuts");
  await page.keyboard.press("Escape");
  await expect(page.getByRole("dialog")).toBeHidden();
  await page.locator('[data-index="0"]').press("Enter");
  await expect(page).toHaveURL(/pictures\//);
});

test("shift takes all between two pictures", async ({ page }) => {
  await page.goto("./?q=a+cat");
  await hits(page)
    .nth(1)
    .click({ modifiers: ["ControlOrMeta"] });
  await hits(page)
    .nth(5)
    .click({ modifiers: ["Shift"] });
  await expect(page.getByText("5 pictures selected")).toBeVisible();
  await page.getByRole("link", { name: "More like these" }).click();
  await expect(page).toHaveURL(/(term=picture[^&]+&?){5}/);
});

test("a search that is refined: words, marks, undo", async ({ page }) => {
  await page.goto("./?q=a+fox");
  await page.getByRole("textbox", { name: "What to change" }).fill("in the snow");
  await page.getByRole("button", { name: "Refine", exact: true }).click();
  await expect(page).toHaveURL(/session=/);
  const said = page.getByRole("list", { name: "What you asked for so far" });
  await expect(said).toHaveText(/a fox.*in the snow/);
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /fox.*snow/);

  await hits(page).first().hover();
  await page.getByRole("button", { name: "Less like this" }).first().click();
  await expect(page.getByText("less like 1 picture")).toBeVisible();
  await page.getByRole("button", { name: "Refine", exact: true }).click();
  await expect(said).toContainText("less like 1 picture");
  await expect(hits(page).first().getByRole("img")).not.toHaveAttribute("alt", /fox.*snow/);
  await expectAccessible(page);
  await screen(page, "refine");

  await page.reload();
  await expect(hits(page).first().getByRole("img")).not.toHaveAttribute("alt", /fox.*snow/);
  await page.getByRole("button", { name: "Undo" }).click();
  await expect(said).not.toContainText("less like 1 picture");
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /fox.*snow/);
  await page.getByRole("button", { name: "Back to the first search" }).click();
  await expect(page).not.toHaveURL(/session=/);
});

test("a refinement that the service has forgotten says so", async ({ page }) => {
  await page.goto("./?q=a+cat&session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  await expect(page.getByRole("heading", { name: "This refinement has ended" })).toBeVisible();
  await page.getByRole("button", { name: "Back to the first search" }).click();
  await expect(hits(page).first()).toBeVisible();
});

test.describe("on a phone", () => {
  const { viewport, deviceScaleFactor, isMobile, hasTouch } = devices["Pixel 7"];
  test.use({ viewport, deviceScaleFactor, isMobile, hasTouch });

  test("a finger marks, selects and opens hits", async ({ page }) => {
    await page.goto("./?q=a+cat");
    const tile = page.getByRole("list", { name: "Hits", exact: true }).getByRole("listitem").first();
    const tick = tile.getByRole("checkbox");
    for (const name of ["More like this", "Less like this"]) {
      const button = tile.getByRole("button", { name });
      await expect(button).toHaveCSS("height", "44px");
      await expect(button).toHaveCSS("width", "44px");
      await button.tap();
      await expect(button).toHaveAttribute("aria-pressed", "true");
    }
    // The tick itself is smaller than what takes the touch.
    const corner = (await tile.boundingBox()) ?? { x: 0, y: 0 };
    await page.touchscreen.tap(corner.x + 42, corner.y + 42);
    await expect(tick).toBeChecked();
    await expectAccessible(page);
    await tick.tap();
    await expect(tick).not.toBeChecked();
    await tile.getByRole("link").tap();
    await expect(page).toHaveURL(/pictures\/[0-9a-f]{16}/);
  });

  test("the marks of every hit leave its middle to the link", async ({ page }) => {
    await page.goto("./?q=a+cat");
    await expect(hits(page).first()).toBeVisible();
    const covered = await hits(page).evaluateAll((links) =>
      links.flatMap((link) => {
        const { left, top, width, height } = link.getBoundingClientRect();
        const [x, y] = [left + width / 2, top + height / 2];
        const inView = y > 0 && y < innerHeight && document.elementFromPoint(x, y)?.closest("header, nav") === null;
        return inView && !link.contains(document.elementFromPoint(x, y)) ? [link.getAttribute("href")] : [];
      }),
    );
    expect(covered).toEqual([]);
  });
});
