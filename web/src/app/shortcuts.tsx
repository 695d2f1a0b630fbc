import { Trans, useLingui } from "@lingui/react/macro";
import { useEffect, useEffectEvent, useSyncExternalStore } from "react";
import { Button } from "../parts/button";
import { Dialog, DialogActions } from "../parts/dialog";
import styles from "./shortcuts.module.css";

/** A key (`/`, `Escape`, `Ctrl+a`, `+`) and what it does on this page, as the overlay shows it. */
export interface Shortcut {
  keys: string;
  what: string;
  run: (event: KeyboardEvent) => void;
}

const registered = new Map<symbol, Shortcut[]>();
const listeners = new Set<() => void>();
let shown: Shortcut[] = [];

function changed() {
  shown = [...registered.values()].flat();
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

/**
 * While the component is there, its shortcuts work (never while a person types in a field). `first`: before those of other components with
 * the same keys.
 */
export function useShortcuts(shortcuts: Shortcut[], { first = false } = {}): void {
  const press = useEffectEvent((event: KeyboardEvent) => {
    if (event.defaultPrevented || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const match = shortcuts.find((each) => matches(each.keys, event));
    if (!match) return;
    event.preventDefault();
    match.run(event);
  });
  const description = shortcuts.map((each) => `${each.keys}\n${each.what}`).join("\n\n");
  const list = useEffectEvent(() => shortcuts);
  useEffect(() => {
    const name = Symbol(description);
    registered.set(name, list());
    changed();
    return () => {
      registered.delete(name);
      changed();
    };
  }, [description]);
  useEffect(() => {
    addEventListener("keydown", press, { capture: first });
    return () => removeEventListener("keydown", press, { capture: first });
  }, [first]);
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
