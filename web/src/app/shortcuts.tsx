import { Trans, useLingui } from "@lingui/react/macro";
import { useEffectEvent, useLayoutEffect, useSyncExternalStore } from "react";
import { Button } from "../parts/button";
import { Dialog, DialogActions } from "../parts/dialog";
import styles from "./shortcuts.module.css";

/** A key (`/`, `Escape`, `Ctrl+a`, `+`) and what it does on this page, as the overlay shows it. */
export interface Shortcut {
  keys: string;
  what: string;
  run: (event: KeyboardEvent) => void;
}

interface Registered {
  /** Those of the last render. */
  list: () => Shortcut[];
  first: boolean;
}

const registered = new Map<symbol, Registered>();
const listeners = new Set<() => void>();
let shown: Shortcut[] = [];

function changed() {
  shown = [...registered.values()].flatMap(({ list }) => list());
  for (const each of listeners) each();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** `Ctrl+a` has two keys, `+` one, `Ctrl++` two. */
const keysIn = (keys: string) => keys.split(/(?<=.)\+(?=.)/);

export function matches(keys: string, event: KeyboardEvent): boolean {
  const wanted = keysIn(keys);
  const key = wanted.at(-1) ?? "";
  const control = wanted.includes("Ctrl") === (event.ctrlKey || event.metaKey);
  return control && !event.altKey && event.key.toLowerCase() === key.toLowerCase();
}

/** One listener for all shortcuts, on the window: an element that handles the key itself comes before it. */
function press(event: KeyboardEvent) {
  if (event.defaultPrevented || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const found = [...registered.values()].flatMap(({ list, first }) => {
    const match = list().find((each) => matches(each.keys, event));
    return match ? [{ match, first }] : [];
  });
  const chosen = found.find(({ first }) => first) ?? found[0];
  if (!chosen) return;
  event.preventDefault();
  chosen.match.run(event);
}

/**
 * While the component is there, its shortcuts work (never while a person types in a field). `first`: before those of other components with
 * the same keys.
 */
export function useShortcuts(shortcuts: Shortcut[], { first = false } = {}): void {
  const description = shortcuts.map((each) => `${each.keys}\n${each.what}`).join("\n\n");
  const list = useEffectEvent(() => shortcuts);
  // With the page that is shown, not a moment later: a key that comes meanwhile would do what it did before.
  useLayoutEffect(() => {
    const name = Symbol(description);
    registered.set(name, { list, first });
    addEventListener("keydown", press); // Added twice, it is still called once.
    changed();
    return () => {
      registered.delete(name);
      if (!registered.size) removeEventListener("keydown", press);
      changed();
    };
  }, [description, first]);
}

const overlay = { open: false };

function setOpen(open: boolean) {
  overlay.open = open;
  changed();
}

export const openShortcuts = () => setOpen(true);

/** All shortcuts of the page, on `?`. */
export function ShortcutOverlay() {
  const { t } = useLingui();
  useShortcuts([{ keys: "?", what: t`Show these shortcuts`, run: openShortcuts }]);
  const open = useSyncExternalStore(subscribe, () => overlay.open);
  const list = useSyncExternalStore(subscribe, () => shown);
  return (
    <Dialog open={open} onClose={() => setOpen(false)} title={<Trans>Keyboard shortcuts</Trans>}>
      <dl className={styles.list}>
        {list.map((each) => (
          <div key={each.keys + each.what}>
            <dt>
              {keysIn(each.keys).map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{each.what}</dd>
          </div>
        ))}
      </dl>
      <DialogActions>
        <Button onClick={() => setOpen(false)}>
          <Trans>Close</Trans>
        </Button>
      </DialogActions>
    </Dialog>
  );
}
