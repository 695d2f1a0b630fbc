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
export function colourOf(element: Element, property: string): [number, number, number] {
  const text = getComputedStyle(element).getPropertyValue(property).trim();
  const [, hex] = /^#([0-9a-f]{6})$/i.exec(text) ?? [];
  const value = Number.parseInt(hex ?? "888888", 16);
  return [(value >> 16) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

/** Calls when light becomes dark, or dark light. */
export function followTheme(changed: () => void, signal: AbortSignal): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed, { signal });
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  signal.addEventListener("abort", () => observer.disconnect());
}
