import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";

export const ROOT = path.resolve(import.meta.dirname, "../..");
export const PROGRAM = path.join(ROOT, ".venv/bin/image2search");

const READY_MS = 60_000;
const KEPT = ["PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"];

/** Variables of a service over the pictures in `folder`; settings of the developer's shell do not count. */
export function environment(folder: string): NodeJS.ProcessEnv {
  return {
    ...Object.fromEntries(KEPT.map((name) => [name, process.env[name]])),
    STORAGE_URL: folder,
    MODEL: "demo",
    CAPTION_MODEL: "demo",
    GENERATION_MODEL: "demo",
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (!address || typeof address === "string") throw new Error("There is no free port.");
  return address.port;
}

async function ready(service: ChildProcess, address: string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (service.exitCode === null && Date.now() < deadline) {
    const answer = await fetch(`${address}health/ready`).catch(() => null);
    if (answer?.ok) return;
    await setTimeout(100);
  }
  throw new Error("The service did not become ready.");
}

export interface Service {
  /** `http://127.0.0.1:1234/` */
  address: string;
  stop(): Promise<void>;
}

/** The real service over a library of its own, a copy of the one that `library.ts` made. */
export async function startService(): Promise<Service> {
  const folder = await mkdtemp(path.join(tmpdir(), "image2search-e2e-"));
  await cp(process.env.E2E_LIBRARY ?? "", folder, { recursive: true });
  const port = await freePort();
  const service = spawn(PROGRAM, ["serve", "--port", String(port)], {
    env: environment(folder),
    cwd: folder,
    stdio: ["ignore", "ignore", process.env.E2E_LOG ? "inherit" : "ignore"],
  });
  const ended = once(service, "exit");
  const address = `http://127.0.0.1:${port}/`;
  async function stop(): Promise<void> {
    service.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  }
  try {
    await ready(service, address);
  } catch (error) {
    await stop();
    throw error;
  }
  return { address, stop };
}
