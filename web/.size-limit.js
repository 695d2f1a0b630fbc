import { readFileSync } from "node:fs";

/** What the page itself names: all that is loaded before anything is done. Pages that come later are not among it. */
const first = [...readFileSync("dist/index.html", "utf-8").matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(
  ([, name]) => `dist/${name}`,
);

export default [
  {
    name: "scripts of the first load",
    path: first.filter((name) => name.endsWith(".js")),
    gzip: true,
    limit: "80 kB",
  },
  { name: "styles of the first load", path: first.filter((name) => name.endsWith(".css")), gzip: true, limit: "8 kB" },
  { name: "the whole app, as it is sent", path: ["dist/**", "!dist/licenses.md"], gzip: true, limit: "160 kB" },
  {
    name: "the whole app, on disk",
    path: ["dist/**", "!dist/licenses.md"],
    gzip: false,
    brotli: false,
    limit: "450 kB",
  },
];
