import type { Plugin } from "vite";

const BEGINNING = "Permission is hereby granted";
const REFERENCE = "The conditions are those of the MIT licence at the end.";

/** The MIT licence's text stands once, at the end, and not after each package; copyright lines stay where they are. */
export function withOneMitText(licences: string): string {
  const sections = licences.split(/^(?=## )/m);
  const textOf = (section: string) => section.slice(section.indexOf(BEGINNING)).trim();
  const isSame = (a: string, b: string) => a.replace(/\s+/g, " ") === b.replace(/\s+/g, " ");
  const text = textOf(sections.find((each) => each.includes(BEGINNING)) ?? "");
  if (!text) return licences;
  const short = sections.map((each) =>
    each.includes(BEGINNING) && isSame(textOf(each), text)
      ? `${each.slice(0, each.indexOf(BEGINNING))}${REFERENCE}\n\n`
      : each,
  );
  return `${short.join("").trimEnd()}\n\n## The MIT licence\n\n${text}\n`;
}

/** Shortens the list of licences that Vite writes. */
export const shortLicences = (fileName: string): Plugin => ({
  name: "short-licences",
  generateBundle: {
    order: "post",
    handler(_, bundle) {
      const file = bundle[fileName];
      if (file?.type !== "asset") throw new Error(`Vite wrote no ${fileName}: see build.license in vite.config.ts.`);
      file.source = withOneMitText(String(file.source));
    },
  },
});
