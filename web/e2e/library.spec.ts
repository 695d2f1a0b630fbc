import path from "node:path";
import type { APIRequestContext, Page } from "@playwright/test";
import { expect, expectAccessible, SAMPLES, screen, test } from "./fixtures";

const API = "api/v1";
const FOX = path.join(SAMPLES, "animals/fox-in-snow.jpg");
const NO_PICTURE = { name: "letter.jpg", mimeType: "image/jpeg", buffer: Buffer.from("Dear Ann,") };

async function takeAway(request: APIRequestContext, ...folders: string[]): Promise<void> {
  const response = await request.post(`${API}/images/deletions`, {
    data: { filters: { folder: folders }, permanently: true },
  });
  expect(response.ok()).toBe(true);
}

async function keysFound(request: APIRequestContext, query: string, folder: string): Promise<string[]> {
  const response = await request.post(`${API}/search`, { data: { terms: [{ text: query }], folders: [folder], k: 5 } });
  if (!response.ok()) return [];
  const { results } = (await response.json()) as { results: { object_key: string }[] };
  return results.map((each) => each.object_key);
}

// A trace reads the previews of uploads by fetch (blob:), which the page's policy forbids.
test.use({ trace: "off" });

const pictures = (page: Page) => page.getByRole("list", { name: "Pictures", exact: true }).getByRole("link");
const bar = (page: Page) => page.getByRole("region", { name: "Selection" });

/** As a person who drags a file over the page and lets go. */
async function drop(page: Page, { name, mimeType, buffer }: typeof NO_PICTURE): Promise<void> {
  const transfer = await page.evaluateHandle(
    ([text, name, type]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name, { type }));
      return data;
    },
    [buffer.toString(), name, mimeType] as const,
  );
  await page.dispatchEvent("main", "dragover", { dataTransfer: transfer });
  await expect(page.locator("[data-over]")).toBeVisible();
  await page.dispatchEvent("main", "drop", { dataTransfer: transfer });
}

test("folders lead to their pictures, and the address holds what is shown", async ({ page }) => {
  await page.goto("library");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("All pictures");
  await expect(pictures(page).first()).toBeVisible();
  await expectAccessible(page);
  await screen(page, "library");

  const folders = page.getByRole("navigation", { name: "Folders", exact: true });
  await folders.getByRole("button", { name: "Show the folders in nature" }).click();
  await folders.getByRole("link", { name: /^beach/ }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("beach");
  await expect(page).toHaveURL(/library\?folder=nature(\/|%2F)beach$/);
  await expect(folders.getByRole("link", { name: /^beach/ })).toHaveAttribute("aria-current", "page");

  await page.getByRole("combobox", { name: "Order" }).selectOption("Newest first");
  await page.getByRole("button", { name: "Filter", exact: true }).click();
  await page.getByRole("combobox", { name: "Format" }).selectOption("GIF");
  await expect(page.getByRole("heading", { name: "No picture fits these filters" })).toBeVisible();
  await expect(page).toHaveURL(/sort=newest/);
  await page.reload();
  await page.getByRole("button", { name: "Remove the filter “GIF”" }).click();
  await expect(pictures(page).first()).toBeVisible();

  await page.getByRole("navigation", { name: "Folders above" }).getByRole("link", { name: "nature" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("nature");
  await page.goBack();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("beach");
});

test("an uploaded picture is found, then deleted, then brought back", async ({ page, request }) => {
  await page.goto("library/add");
  await page.getByRole("combobox", { name: "Into the folder" }).fill("e2e");
  await page.getByRole("textbox", { name: "Tags" }).fill("winter, reineke");
  await page.getByTestId("files").setInputFiles([FOX]);
  await drop(page, NO_PICTURE);
  const uploads = page.getByRole("region", { name: "Pictures on their way" });
  await expect(uploads.getByText("1 in the library, 1 not")).toBeVisible();
  await expect(uploads.getByRole("listitem").filter({ hasText: "letter.jpg" })).toContainText(
    "These bytes are no picture",
  );
  await expectAccessible(page);
  await screen(page, "library-add");
  await expect.poll(() => keysFound(request, "a fox in the snow", "e2e")).toEqual(["e2e/fox-in-snow.jpg"]);

  await uploads.getByRole("link", { name: "Open" }).click();
  await expect(page).toHaveURL(/pictures\/[0-9a-f]{16}$/);
  await page.goto("library?folder=e2e&tag=reineke");
  await page.getByRole("checkbox", { name: "Select fox-in-snow.jpg" }).check({ force: true });
  await expect(bar(page)).toContainText("1 picture selected");
  await expectAccessible(page);
  await screen(page, "library-selection");
  await bar(page).getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("button", { name: "Delete 1 picture" }).click();
  await expect(page.getByText("1 picture deleted.")).toBeVisible();
  await expect(page.getByRole("heading", { name: "No picture fits these filters" })).toBeVisible();
  expect(await keysFound(request, "a fox in the snow", "e2e")).toEqual([]);

  await page.getByRole("button", { name: "Undo" }).first().click();
  await expect(page.getByText("1 picture is back.")).toBeVisible();
  await expect(pictures(page)).toHaveCount(1);
  await expect.poll(() => keysFound(request, "a fox in the snow", "e2e")).toEqual(["e2e/fox-in-snow.jpg"]);
  await takeAway(request, "e2e");
});

test("many pictures are added together, and all of a folder are deleted by what they have in common", async ({
  page,
  request,
}) => {
  const found = await Promise.all(
    ["animals", "food"].map(async (folder) => {
      const answer = await request.get(`${API}/images?folder=${folder}&limit=6`);
      return ((await answer.json()) as { images: { object_key: string }[] }).images.map((each) => each.object_key);
    }),
  );
  const files = found.flat().map((key) => path.join(SAMPLES, key));
  expect(files).toHaveLength(12);
  await page.goto("library/add?folder=e2e-many");
  await page.getByTestId("files").setInputFiles(files);
  await expect(page.getByText(`${files.length} pictures are in the library`)).toBeVisible();
  await page.getByRole("link", { name: "Show them in the library" }).click();
  await expect(page.getByText(`${files.length} pictures`, { exact: true })).toBeVisible();

  await page.getByRole("button", { name: `Select all ${files.length}` }).click();
  await expect(bar(page)).toContainText(`${files.length} pictures selected`);
  const asked = page.waitForRequest(
    (each) => each.url().endsWith("/images/deletions") && !each.postData()?.includes("dry_run"),
  );
  await page.keyboard.press("Delete");
  await page.getByRole("button", { name: `Delete ${files.length} pictures` }).click();
  expect((await asked).postDataJSON()).toEqual({ filters: { folder: ["e2e-many"] } });
  await expect(page.getByRole("heading", { name: "There is no picture in this folder" })).toBeVisible();

  await page.reload();
  await page.getByText("Deleted lately").click();
  await page.getByRole("complementary").getByRole("button", { name: "Undo" }).click();
  await expect(page.getByText(`${files.length} pictures`, { exact: true })).toBeVisible();
  await takeAway(request, "e2e-many");
});

test("a long deletion shows how far it is, and goes on when the dialog is closed", async ({ page }) => {
  let asked = 0;
  await page.route(/\/images\/deletions(\/|$)/, async (route) => {
    const { dry_run = false } = (route.request().postDataJSON() ?? {}) as { dry_run?: boolean };
    if (dry_run) return route.fallback();
    asked += 1;
    const over = asked > 4;
    const json = {
      deletion_id: "d1",
      state: over ? "done" : "running",
      total: 83,
      count: over ? 83 : 20,
      missing: [],
      can_undo: true,
    };
    await route.fulfill({ status: asked === 1 ? 202 : 200, json });
  });
  await page.goto("library?folder=animals");
  await page.getByRole("button", { name: "Select all 83" }).click();
  await bar(page).getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByRole("button", { name: "Delete 83 pictures" }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog.getByText("20 of 83")).toBeVisible();
  await dialog.getByRole("button", { name: "Close, and let it go on" }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByText("83 pictures deleted.")).toBeVisible();
  await expect(page.getByText("Deleted lately")).toBeVisible();
});

test("addresses that lead nowhere say so", async ({ page }) => {
  await page.goto("library/add?from=addresses");
  const field = page.getByRole("textbox", { name: "Addresses of pictures" });
  await field.fill("example.org/a.jpg");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await expect(page.getByText("“example.org/a.jpg” is no web address.")).toBeVisible();
  await field.fill("http://127.0.0.1:9/a.jpg");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const item = page.getByRole("region", { name: "Pictures on their way" }).getByRole("listitem");
  await expect(item).toHaveAttribute("data-state", "failed");
  await expectAccessible(page);
});

test("a web search that the service does not offer is explained", async ({ page }) => {
  await page.goto("library/add?from=web");
  await page.getByRole("searchbox", { name: "What to look for" }).fill("lighthouse");
  await page.getByRole("button", { name: "Search, and add what is found" }).click();
  await expect(page.getByRole("alert")).toContainText("WEB_PROVIDERS=openverse");
});

test("pictures of a web search come with makers and licences", async ({ page }) => {
  const [created, id] = ["2026-05-01T12:00:00Z", "ab".repeat(16)];
  const job = {
    id,
    state: "done",
    folder: "e2e",
    query: "lighthouse",
    total: 2,
    counts: { waiting: 0, added: 1, present: 0, refused: 1, failed: 0, left: 0 },
    error: null,
    created_at: created,
    finished_at: created,
    items: [
      {
        name: "https://example.org/1.jpg",
        outcome: "added",
        image_id: "9f2c4b1d00aa37e5",
        object_key: "e2e/1.jpg",
        reason: null,
      },
      {
        name: "https://example.org/2.jpg",
        outcome: "refused",
        image_id: null,
        object_key: null,
        reason: "It is too large.",
      },
    ],
  };
  await page.route(/\/images\/import/, (route) =>
    route.fulfill({ json: job, status: route.request().method() === "POST" ? 202 : 200 }),
  );
  await page.route(/\/images\?.*added_from/, async (route) => {
    const source = {
      url: "https://example.org/1.jpg",
      page_url: "https://example.org/1",
      title: "Lighthouse",
      creator: "Ann Example",
      license: "CC BY 2.0",
      license_url: "https://creativecommons.org/licenses/by/2.0/",
      attribution: "Lighthouse by Ann Example is licensed under CC BY 2.0.",
    };
    await route.fulfill({
      json: { images: [{ image_id: "9f2c4b1d00aa37e5", source }], count: 1, next_cursor: null, generation: "1" },
    });
  });
  await page.goto("library/add?from=web&folder=e2e");
  await page.getByRole("searchbox", { name: "What to look for" }).fill("lighthouse");
  await page.getByRole("button", { name: "Search, and add what is found" }).click();
  const list = page.getByRole("region", { name: "Import: lighthouse" });
  await expect(list.getByText("Ann Example")).toBeVisible();
  await expect(list.getByRole("link", { name: "CC BY 2.0" })).toHaveAttribute("href", /creativecommons/);
  await expect(list.getByText("It is too large.")).toBeVisible();
  await expectAccessible(page);
});

test("an import from the web can be cancelled, and says what was added before", async ({ page }) => {
  const created = "2026-05-01T12:00:00Z";
  const item = (number: number, outcome: string, reason: string | null) => ({
    name: `https://example.org/${number}.jpg`,
    outcome,
    image_id: outcome === "added" ? "9f2c4b1d00aa37e5" : null,
    object_key: outcome === "added" ? `e2e/${number}.jpg` : null,
    reason,
  });
  const counts = { waiting: 1, added: 1, present: 0, refused: 0, failed: 0, left: 0 };
  const running = {
    id: "ab".repeat(16),
    state: "running",
    folder: "e2e",
    query: "lighthouse",
    total: 2,
    counts,
    error: null,
    created_at: created,
    finished_at: null,
    items: [item(1, "added", null), item(2, "waiting", null)],
  };
  const cancelled = {
    ...running,
    state: "cancelled",
    counts: { ...counts, waiting: 0, left: 1 },
    finished_at: created,
    items: [item(1, "added", null), item(2, "left", "The import was cancelled before its turn.")],
  };
  let job: object = running;
  await page.route(/\/images\/import/, (route) => {
    const method = route.request().method();
    if (method === "DELETE") job = cancelled;
    return route.fulfill({ json: job, status: method === "POST" ? 202 : 200 });
  });
  await page.goto("library/add?from=web&folder=e2e");
  await page.getByRole("searchbox", { name: "What to look for" }).fill("lighthouse");
  await page.getByRole("button", { name: "Search, and add what is found" }).click();
  const list = page.getByRole("region", { name: "Import: lighthouse" });
  await expect(list).toContainText("If you cancel it, the pictures that are added stay.");
  await expectAccessible(page);
  await list.getByRole("button", { name: "Cancel", exact: true }).click();
  await expect(list).toContainText("It was cancelled. The pictures that were added before are in the library.");
  await expect(list).toContainText("1 added, 1 not");
  await expect(list.getByText("The import was cancelled before its turn.")).toBeVisible();
  await expect(list.getByRole("button", { name: "Cancel", exact: true })).toHaveCount(0);
  await expectAccessible(page);
});

test("stopping the uploads cancels the import that brings them", async ({ page, request }) => {
  let id = "";
  await page.route(/\/images\/import\/\w+\/events/, (route) => {
    id = route.request().url().split("/").at(-2) ?? "";
    // No event comes: the upload is on its way until it is stopped.
  });
  await page.goto("library/add?from=addresses&folder=e2e");
  const addresses = Array.from({ length: 10 }, (_, i) => `http://127.0.0.1:9/${i}.jpg`);
  await page.getByRole("textbox", { name: "Addresses of pictures" }).fill(addresses.join("\n"));
  await page.getByRole("button", { name: "Add 10 pictures" }).click();
  await expect.poll(() => id).toMatch(/^[0-9a-f]{32}$/);
  const asked = page.waitForResponse(
    (each) => each.request().method() === "DELETE" && each.url().endsWith(`/images/import/${id}`),
  );
  await page.getByRole("region", { name: "Pictures on their way" }).getByRole("button", { name: "Stop" }).click();
  expect((await asked).status()).toBe(200);
  await expect(page.getByRole("region", { name: "Pictures on their way" })).toHaveCount(0);
  expect((await (await request.get(`${API}/images/import/${id}`)).json()).state).not.toBe("running");
});

test("an index run is followed to its report, and so is one that writes captions", async ({ page }) => {
  await page.goto("library/index");
  await expect(page.getByText("demo-clip")).toBeVisible();
  await expectAccessible(page);
  for (const name of ["Update the index", "Describe pictures that have no caption"]) {
    await page.getByRole("button", { name }).click();
    await expect(page.getByText("Searches go on meanwhile.")).toBeVisible();
    await expect(page.getByRole("heading", { name: "The run is done" })).toBeVisible({ timeout: 60_000 });
    await expect(page.getByText("as they were")).toBeVisible();
    if (name.startsWith("Update")) await screen(page, "library-index");
    await page.getByRole("button", { name: "Close the report" }).click();
  }
});

test("where pictures may not be changed, nothing offers it", async ({ page }) => {
  const refusal = {
    type: "about:blank",
    title: "Forbidden",
    status: 403,
    detail: "This service is read-only (READ_ONLY).",
  };
  await page.route(/\/images\/deletions$/, (route) =>
    route.fulfill({ status: 403, contentType: "application/problem+json", body: JSON.stringify(refusal) }),
  );
  await page.goto("library/add");
  await expect(page.getByRole("heading", { name: "Pictures can't be added here" })).toBeVisible();
  await page.goto("library?folder=animals");
  await page.getByRole("button", { name: /^Select all/ }).click();
  await expect(bar(page).getByRole("link", { name: "More like these" })).toBeVisible();
  await expect(bar(page).getByRole("button", { name: "Delete" })).toHaveCount(0);
});

test.describe("on a phone, in the dark", () => {
  test.use({ viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true });

  for (const page_ of ["library", "library/add", "library/duplicates", "library/index"]) {
    test(`${page_} fits`, async ({ page }) => {
      await page.goto(page_);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await expectAccessible(page);
      const { wide, window } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth,
        window: innerWidth,
      }));
      expect(wide).toBeLessThanOrEqual(window);
      await screen(page, `phone-dark-${page_.replace("/", "-")}`);
    });
  }

  test("folders are a list to choose from", async ({ page }) => {
    await page.goto("library");
    await page.getByRole("combobox", { name: "Folder" }).selectOption("nature/beach");
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("beach");
  });
});
