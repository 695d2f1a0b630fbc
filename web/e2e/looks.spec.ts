import { devices, type Page } from "@playwright/test";
import { expect, expectAccessible, hits, screen, test } from "./fixtures";

test.describe("dark", () => {
  test.use({ colorScheme: "dark" });

  test("the search", async ({ page }) => {
    await page.goto("./?q=a+house+at+night");
    await expect(hits(page).first()).toBeVisible();
    await expectAccessible(page);
    await screen(page, "search-dark");
  });

  test("can be made light for this app alone", async ({ page }) => {
    await page.goto("./");
    const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const dark = await paper();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("combobox", { name: "Appearance" }).selectOption("light");
    await expect.poll(paper).not.toBe(dark);
    await page.reload();
    await expect.poll(paper).not.toBe(dark);
  });
});

test.describe("on a phone", () => {
  const { viewport, deviceScaleFactor, isMobile, hasTouch } = devices["Pixel 7"];
  test.use({ viewport, deviceScaleFactor, isMobile, hasTouch });

  for (const address of ["./", "./?q=a+cat", "./library", "./generate"]) {
    test(`${address} fits the width`, async ({ page }) => {
      await page.goto(address);
      await expect(page.getByRole("navigation", { name: "Sections" })).toBeVisible();
      if (address.includes("q=")) await expect(hits(page).first()).toBeVisible();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
      if (address.includes("q=")) await screen(page, "search-phone");
    });
  }
});

test.describe("in German", () => {
  test.use({ locale: "de-DE" });

  test("every text", async ({ page }) => {
    await page.goto("./?q=ein+Hund");
    await expect(page.getByRole("navigation", { name: "Bereiche" })).toBeVisible();
    await expect(page.locator("html")).toHaveAttribute("lang", "de");
    await expect(page.getByRole("list", { name: "Treffer", exact: true }).getByRole("link").first()).toBeVisible();
    await screen(page, "search-german");
    await page.getByRole("button", { name: "Einstellungen" }).click();
    await page.getByRole("combobox", { name: "Sprache" }).selectOption("en");
    await expect(page.getByRole("navigation", { name: "Sections" })).toBeVisible();
  });
});

interface Shift extends PerformanceEntry {
  value: number;
  hadRecentInput: boolean;
  sources: { node: Element | null }[];
}

declare global {
  interface Window {
    shifts: { value: number; moved: string[] }[];
  }
}

/** From now on the page notes what moves in it by itself: https://web.dev/articles/cls, where a sum below 0.1 is called good. */
const noteShifts = (page: Page) =>
  page.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const { value, hadRecentInput, sources } of list.getEntries() as Shift[]) {
        const moved = sources.map(({ node }) => node?.outerHTML?.slice(0, 90) ?? "what is gone");
        if (!hadRecentInput) window.shifts.push({ value, moved });
      }
    }).observe({ type: "layout-shift", buffered: true });
  });

for (const width of [1280, 390]) {
  test(`nothing jumps while pages are loaded slowly, ${width} pixels wide`, async ({ page }) => {
    await page.setViewportSize({ width, height: 800 });
    await noteShifts(page);
    let answers = 0;
    await page.route(/\/api\//, async (route) => {
      answers += 1;
      await new Promise((resolve) => setTimeout(resolve, 60 + 90 * (answers % 4)));
      await route.continue();
    });
    for (const address of ["./", "./?q=snow", "./?q=snow&folder=animals", "./library", "./library/index"]) {
      await page.goto(address);
      await page.waitForLoadState("networkidle");
      const shifts = await page.evaluate(() => window.shifts);
      const sum = shifts.reduce((all, { value }) => all + value, 0);
      expect(sum, `${address}\n${shifts.flatMap(({ moved }) => moved).join("\n")}`).toBeLessThan(0.02);
    }
  });
}

test("while the service does not answer, the page says so and recovers", async ({ page }) => {
  await page.goto("./?q=a+cat");
  await expect(hits(page).first()).toBeVisible();
  await page.route(/\/(api|health)\//, (route) => route.abort());
  await page.getByRole("searchbox").fill("a dog");
  await page.getByRole("searchbox").press("Enter");
  await expect(page.getByRole("heading", { name: "This search failed" })).toBeVisible();
  await expect(page.getByText("Is it running, and are you online?")).toBeVisible();
  await screen(page, "service-down");
  await page.unroute(/\/(api|health)\//);
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /dog/);
});

test("a page whose script does not come says so, and the other pages still work", async ({ page }) => {
  await page.goto("./");
  await page.route(/assets\/.*\.js$/, (route) => route.abort());
  const sections = page.getByRole("navigation", { name: "Sections" });
  await sections.getByRole("link", { name: "Map" }).click();
  await expect(page.getByRole("heading", { name: "This page failed" })).toBeVisible();
  await sections.getByRole("link", { name: "Search" }).click();
  await expect(page.getByRole("heading", { name: "Find a picture by what it shows" })).toBeVisible();
  await sections.getByRole("link", { name: "Map" }).click();
  await page.unroute(/assets\/.*\.js$/);
  await page.getByRole("button", { name: "Load it again" }).click();
  await expect(page.getByRole("searchbox", { name: "Search on the map" })).toBeVisible();
});

test("with reduced motion nothing moves by itself", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto("./?q=a+cat");
  await expect(hits(page).first()).toBeVisible();
  expect(await page.evaluate(() => document.getAnimations().length)).toBe(0);
});

test("an address that leads nowhere", async ({ page }) => {
  await page.goto("./library/nothing-here");
  expect((await page.request.get("./library/nothing-here")).status()).toBe(404);
});
