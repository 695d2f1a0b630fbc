import { defineConfig } from "@lingui/cli";
import { formatter } from "@lingui/format-po";

export default defineConfig({
  sourceLocale: "en",
  locales: ["en", "de"],
  catalogs: [{ path: `${process.env.LOCALES ?? "src/locales"}/{locale}`, include: ["src"] }],
  format: formatter({ lineNumbers: false, origins: false }),
  compileNamespace: "es",
});
