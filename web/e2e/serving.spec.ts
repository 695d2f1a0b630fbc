import path from "node:path";
import type { Page } from "@playwright/test";
import { expect, hits, SAMPLES, searchFor, test } from "./fixtures";
import { type ReverseProxy, tlsProxy } from "./proxy";

const ROUTES = ["", "library", "library/add", "library/duplicates", "library/index", "map", "generate"];
const PREFIX = "/photos";

/** The addresses that the page asks for from now on, but those of data and blobs. */
function addressesOf(page: Page): URL[] {
  const asked: URL[] = [];
  page.on("request", (request) => {
    const address = new URL(request.url());
    if (address.protocol.startsWith("http")) asked.push(address);
  });
  return asked;
}

const loaded = (page: Page) =>
  expect.poll(() => page.evaluate(() => document.images[0]?.naturalWidth)).toBeGreaterThan(0);

for (const route of ROUTES) {
  test(`/${route} asks nothing of other origins and keeps to its policy`, async ({ page, baseURL }) => {
    const asked = addressesOf(page);
    const answer = await page.goto(route || "./");
    expect(answer?.status()).toBe(200);
    const policy = (await answer?.headerValue("content-security-policy")) ?? "";
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self';");
    expect(policy).not.toContain("unsafe");
    await expect(page.getByRole("navigation", { name: "Sections" }).getByRole("link")).toHaveCount(4);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
    await page.waitForLoadState("networkidle");
    expect(new Set(asked.map(({ origin }) => `${origin}/`))).toEqual(new Set([baseURL]));
  });
}

test("a picture's address opens it, and one of nothing says so", async ({ page, request }) => {
  const { images } = await (await request.get("api/v1/images?limit=1")).json();
  await page.goto(`pictures/${images[0].image_id}`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(images[0].caption);
  await loaded(page);
  await page.goto("pictures/0123456789abcdef");
  await expect(page.getByRole("heading", { name: "There is no such picture" })).toBeVisible();
});

test("an address that is not the app's is a problem, not a page", async ({ request }) => {
  for (const address of ["assets/index-00000000.js", "library/nothing", "index.html"]) {
    const answer = await request.get(address);
    expect([answer.status(), answer.headers()["content-type"]]).toEqual([404, "application/problem+json"]);
  }
});

test("scripts and styles travel compressed, and once", async ({ page }) => {
  const sizes = new Map<string, number>();
  page.on("response", async (response) => {
    const { pathname } = new URL(response.url());
    if (!pathname.startsWith("/assets/")) return;
    expect(response.headers()["content-encoding"], pathname).toBe("gzip");
    sizes.set(pathname, (await response.request().sizes()).responseBodySize);
  });
  await page.goto("./");
  await page.waitForLoadState("networkidle");
  expect(sizes.size).toBeGreaterThan(2);
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  expect(total).toBeLessThan(150_000 + 15_000);
  await page.goto("library");
  const again = await page.evaluate(() =>
    performance
      .getEntriesByType("resource")
      .filter((entry): entry is PerformanceResourceTiming => /\/assets\/index-/.test(entry.name))
      .map(({ transferSize }) => transferSize),
  );
  expect(again.length).toBeGreaterThan(0);
  expect(Math.max(...again)).toBe(0);
});

test.describe("behind a proxy with TLS, below a path", () => {
  test.use({ ignoreHTTPSErrors: true });
  let proxy: ReverseProxy;
  test.beforeAll(async ({ baseURL }) => {
    proxy = await tlsProxy(baseURL ?? "", PREFIX);
  });
  test.afterAll(() => proxy.close());

  test("everything is asked for below the path", async ({ page }) => {
    const asked = addressesOf(page);
    await page.goto(proxy.address);
    await searchFor(page, "a red car");
    expect(page.url()).toBe(`${proxy.address}?q=a+red+car`);
    await loaded(page);
    await hits(page).first().click();
    await expect(page).toHaveURL(/\/photos\/pictures\/[0-9a-f]{16}/);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText(/car/);
    await page.reload();
    await loaded(page);
    for (const route of ["Library", "Map", "Generate", "Search"]) {
      await page.getByRole("navigation", { name: "Sections" }).getByRole("link", { name: route }).click();
      await page.waitForLoadState("networkidle");
    }
    expect(page.url()).toBe(proxy.address);
    const elsewhere = asked.filter(({ href }) => !href.startsWith(proxy.address));
    expect(elsewhere.map(String)).toEqual([]);
  });

  test("what writes is no request of another site", async ({ page }) => {
    await page.goto(proxy.address);
    await page.locator('input[type="file"]').first().setInputFiles(path.join(SAMPLES, "animals/cat-on-grass.jpg"));
    await expect(hits(page).first().getByRole("img")).toHaveAttribute("alt", /cat/);
  });
});
