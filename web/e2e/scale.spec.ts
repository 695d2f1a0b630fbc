import type { Page } from "@playwright/test";
import { expect, hits, test } from "./fixtures";

const HITS = 10_000;
const PAGE = 500;
/** One grey pixel, as WebP. */
const PIXEL = Buffer.from("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==", "base64");

function hit(number: number) {
  const id = number.toString(16).padStart(16, "0");
  return {
    image_id: id,
    object_key: `many/${id}.jpg`,
    folder: "many",
    s3_path: `s3://many/${id}.jpg`,
    score: 0.3,
    distance: 1.1,
    relevance: 0.9,
    image_url: `http://localhost/api/v1/images/${id}/original`,
    thumbnail_url: `http://localhost/api/v1/images/${id}/thumbnail?v=1`,
    width: 300 + ((number * 97) % 400),
    height: 300,
    date: "2026-01-01T00:00:00Z",
    caption: `picture ${number}`,
    source: null,
  };
}

/** Answers searches with ten thousand hits that only exist here. */
async function serveMany(page: Page): Promise<void> {
  await page.route("**/api/v1/search", async (route) => {
    const { cursor } = route.request().postDataJSON() as { cursor?: string };
    const from = Number(cursor ?? 0);
    const results = Array.from({ length: Math.min(PAGE, HITS - from) }, (_, i) => hit(from + i));
    const next_cursor = from + PAGE < HITS ? String(from + PAGE) : null;
    await route.fulfill({
      json: {
        results,
        folder: null,
        good_match: true,
        note: null,
        understood: null,
        next_cursor,
        generation: "1",
        took_ms: 1,
      },
    });
  });
  await page.route("**/thumbnail?**", (route) => route.fulfill({ body: PIXEL, contentType: "image/webp" }));
}

/** Nodes in the document, and bytes of the heap after a collection. */
async function weigh(page: Page): Promise<{ nodes: number; heap: number }> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  return { nodes: await page.evaluate(() => document.querySelectorAll("*").length), heap: usedSize };
}

test("ten thousand hits scroll, with a page that stays as small as for a hundred", async ({ page }) => {
  test.setTimeout(120_000);
  await serveMany(page);
  await page.goto("./?q=many");
  await expect(hits(page).first()).toBeVisible();
  const before = await weigh(page);
  const status = page.getByRole("status").filter({ hasText: /picture|best/ });
  const frames = await page.evaluate(async () => {
    const times: number[] = [];
    let last = performance.now();
    for (let still = 0, height = 0; still < 60; ) {
      scrollTo(0, document.body.scrollHeight);
      await new Promise(requestAnimationFrame);
      times.push(performance.now() - last);
      last = performance.now();
      still = document.body.scrollHeight === height ? still + 1 : 0;
      height = document.body.scrollHeight;
    }
    return times.sort((a, b) => a - b);
  });
  await expect(status).toContainText("10,000 pictures");
  await expect(page.locator(`[data-index="${HITS - 1}"]`)).toBeVisible();
  const after = await weigh(page);
  const median = frames[Math.floor(frames.length / 2)] ?? 0;
  test.info().annotations.push({
    type: "measured",
    description: `nodes ${before.nodes} -> ${after.nodes}, heap ${(before.heap / 1e6).toFixed(1)} -> ${(after.heap / 1e6).toFixed(1)} MB, median frame ${median.toFixed(1)} ms`,
  });
  console.log(test.info().annotations.at(-1)?.description);
  expect(after.nodes).toBeLessThan(before.nodes * 2);
  expect(after.heap).toBeLessThan(60e6);
});
