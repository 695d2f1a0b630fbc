import { useEffect, useLayoutEffect, useState } from "react";
import { useLocation } from "wouter";

/** Whether the browser's "back" or "forward" led here, and not a link. */
let cameBack = false;
addEventListener("popstate", () => {
  cameBack = true;
});

/** A new page begins at its top. Used once, in the shell. */
export function useTopOfNewPage(): void {
  const [path] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs for each new path
  useLayoutEffect(() => {
    if (!cameBack) scrollTo(0, 0);
    cameBack = false;
  }, [path]);
}

/** Writes down where the page stands, for the way back from the page that opens now. */
export function rememberScroll(): void {
  history.replaceState({ ...history.state, scroll: scrollY }, "");
}

/** Once `ready`, goes to where the page stood when a picture was opened from it; only on the way back. */
export function useScrollBack(ready: boolean): void {
  const [saved, setSaved] = useState<number | null>(() => (cameBack ? (history.state?.scroll ?? null) : null));
  useEffect(() => {
    if (!ready || saved === null) return;
    let frame = requestAnimationFrame(() => {
      frame = requestAnimationFrame(() => {
        scrollTo(0, saved);
        setSaved(null);
      });
    });
    return () => cancelAnimationFrame(frame);
  }, [ready, saved]);
}
