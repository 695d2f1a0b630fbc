import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as forward, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../..");
const CERTIFICATE = "import pathlib, sys, tests.support.tls_proxy as t; t.self_signed(pathlib.Path(sys.argv[1]))";

/** A key, and a certificate that it has signed itself. */
function selfSigned(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "image2search-tls-"));
  try {
    execFileSync(path.join(ROOT, ".venv/bin/python"), ["-c", CERTIFICATE, folder], { cwd: ROOT });
    return readFileSync(path.join(folder, "certificate.pem"), "utf-8");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export interface ReverseProxy {
  /** Where the app is: `https://127.0.0.1:1234/photos/`. */
  address: string;
  close(): Promise<void>;
}

/** A reverse proxy with TLS before `service`, which it serves below `prefix` and nowhere else. */
export async function tlsProxy(service: string, prefix: string): Promise<ReverseProxy> {
  const pem = selfSigned();
  const { hostname, port } = new URL(service);

  function answer(asked: IncomingMessage, reply: ServerResponse): void {
    const { method, url = "/" } = asked;
    if (!url.startsWith(`${prefix}/`)) {
      reply.writeHead(404).end();
      return;
    }
    const headers = { ...asked.headers, "x-forwarded-proto": "https", "x-forwarded-prefix": prefix };
    const near = forward({ hostname, port, method, path: url.slice(prefix.length), headers }, (answered) => {
      reply.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(reply);
    });
    near.on("error", () => reply.destroy());
    reply.on("close", () => near.destroy());
    asked.pipe(near);
  }

  const server = createServer({ key: pem, cert: pem }, answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
