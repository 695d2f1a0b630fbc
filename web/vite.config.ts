import { lingui } from "@lingui/vite-plugin";
import { defineConfig } from "vitest/config";
import { shortLicences } from "./vite/licences.ts";

const LICENCES = "licenses.md";
const SERVICE = process.env.SERVICE ?? "http://localhost:8000";

export default defineConfig(({ mode }) => ({
  base: "./",
  // Short names: the long ones make a tenth of the styles.
  css: { modules: { generateScopedName: mode === "production" ? "[hash:base64:5]" : "[local]-[hash:base64:5]" } },
  plugins: [lingui({ macroTransform: true }), shortLicences(LICENCES)],
  build: {
    outDir: process.env.OUT ?? "dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: LICENCES },
    // "use client" in libraries is for servers.
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
  server: { proxy: { "/api": SERVICE, "/health": SERVICE } },
  test: { environment: "happy-dom", include: ["{src,vite}/**/*.test.{ts,tsx}"] },
}));
