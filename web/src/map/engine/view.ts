import type { Size } from "./camera";

/** Follows the size of an element, in CSS pixels, and the device pixels that its canvas needs. */
export function followSize(element: Element, changed: (view: Size, device: Size) => void, signal: AbortSignal): void {
  const observer = new ResizeObserver(([entry]) => {
    if (!entry) return;
    const { width, height } = entry.contentRect;
    const exact = entry.devicePixelContentBoxSize?.[0];
    const device = exact
      ? { width: exact.inlineSize, height: exact.blockSize }
      : { width: Math.round(width * devicePixelRatio), height: Math.round(height * devicePixelRatio) };
    if (width && height) changed({ width, height }, device);
  });
  try {
    observer.observe(element, { box: "device-pixel-content-box" });
  } catch {
    // Safari knows this box not. There a change of the ratio comes with a change of the size.
    observer.observe(element);
  }
  signal.addEventListener("abort", () => observer.disconnect());
}

/** A colour of the design as parts from 0 to 1. */
export function colourOf(element: HTMLElement, property: string): [number, number, number] {
  // As the colour of an element it is one colour; by itself it may be one for light and one for dark.
  element.style.color = `var(${property})`;
  const [red = 0, green = 0, blue = 0] =
    getComputedStyle(element)
      .color.match(/[\d.]+/g)
      ?.map(Number) ?? [];
  element.style.color = "";
  return [red / 255, green / 255, blue / 255];
}

/** Calls when light becomes dark, or dark light. */
export function followTheme(changed: () => void, signal: AbortSignal): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  signal.addEventListener("abort", () => observer.disconnect());
}
