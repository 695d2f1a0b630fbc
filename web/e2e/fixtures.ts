import { mkdir } from "node:fs/promises";
import path from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { type Service, startService } from "./service";

const ROOT = path.resolve(import.meta.dirname, "../..");
const SCREENS = path.join(ROOT, "docs/screens");

export const SAMPLES = path.join(ROOT, "samples");
export { expect };

/** What Chromium says itself when a request fails on purpose. */
const OF_A_REQUEST = /Failed to load resource/;

interface Fixtures {
  /** Fails the test for errors in the page's console, but those of requests. */
  quiet: undefined;
}

interface WorkerFixtures {
  /** A service over a library of its own. After a failed test there is a new worker, and with it a fresh one. */
  service: Service;
}

export const test = base.extend<Fixtures, WorkerFixtures>({
  service: [
    async ({ browserName: _ }, use) => {
      const service = await startService();
      await use(service);
      await service.stop();
    },
    { scope: "worker", timeout: 90_000 },
  ],
  baseURL: ({ service }, use) => use(service.address),
  quiet: [
    async ({ page }, use) => {
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(error.message));
      page.on("console", (message) => {
        if (message.type() === "error" && !OF_A_REQUEST.test(message.text())) errors.push(message.text());
      });
      await use(undefined);
      expect(errors).toEqual([]);
    },
    { auto: true },
  ],
});

/** No violation that keeps people out. */
export async function expectAccessible(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
}

/** Writes docs/screens/NAME.jpg where SCREENS=1 asks for it. */
export async function screen(page: Page, name: string): Promise<void> {
  if (!process.env.SCREENS) return;
  await mkdir(SCREENS, { recursive: true });
  await page.evaluate(() => Promise.all([...document.images].map((image) => image.decode().catch(() => undefined))));
  await page.screenshot({ path: path.join(SCREENS, `${name}.jpg`), type: "jpeg", quality: 85, animations: "disabled" });
}

/** The hits of the page, in their order. */
export const hits = (page: Page) => page.getByRole("list", { name: "Hits", exact: true }).getByRole("link");

/** Types the words and waits for the answer. */
export async function searchFor(page: Page, words: string): Promise<void> {
  await page.getByRole("searchbox", { name: "What to look for" }).fill(words);
  await page.getByRole("button", { name: "Search", exact: true }).click();
  await expect(hits(page).first()).toBeVisible();
}
