/** Before all specs: the sample pictures, and a few copies, are indexed once. Each worker's service gets a copy of that. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { environment, PROGRAM, ROOT } from "./service";

async function fill(folder: string): Promise<void> {
  await cp(path.join(ROOT, "samples"), folder, { recursive: true });
  // The same bytes twice: something for the page of duplicates.
  await cp(path.join(folder, "animals/dog-on-grass.jpg"), path.join(folder, "copies/dog again.jpg"));
  const run = spawn(PROGRAM, ["index", "--yes"], {
    env: environment(folder),
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [code] = await once(run, "exit");
  if (code !== 0) throw new Error(`The index run ended with ${code}.`);
}

export default async function prepareLibrary(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(tmpdir(), "image2search-e2e-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  process.env.E2E_LIBRARY = folder;
  try {
    await fill(folder);
  } catch (error) {
    await remove();
    throw error;
  }
  return remove;
}
