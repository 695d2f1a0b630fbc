import { useLingui } from "@lingui/react/macro";
import { useEffect, useState, useSyncExternalStore } from "react";
import { messageOf } from "../api/problems";
import { CloseIcon } from "./icons";
import styles from "./toasts.module.css";

const SHORT_MS = 5_000;
const LONG_MS = 12_000;
const MOST = 4;

interface Offer {
  label: string;
  run: () => void;
}

interface Toast {
  id: number;
  text: string;
  failed: boolean;
  offer?: Offer | undefined;
}

let toasts: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function replace(list: readonly Toast[]) {
  toasts = list.slice(-MOST);
  for (const each of listeners) each();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

const close = (id: number) => replace(toasts.filter((each) => each.id !== id));

/** Says in passing what was done; with an offer, such as to undo it. */
export function tell(text: string, offer?: Offer): void {
  replace([...toasts, { id: next++, text, failed: false, offer }]);
}

/** Says in passing what failed. It stays until it is closed. */
export function tellFailure(error: unknown): void {
  replace([...toasts, { id: next++, text: messageOf(error), failed: true }]);
}

function ToastCard({ toast }: { toast: Toast }) {
  const { t } = useLingui();
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (held || toast.failed) return;
    const timer = setTimeout(() => close(toast.id), toast.offer ? LONG_MS : SHORT_MS);
    return () => clearTimeout(timer);
  }, [held, toast]);
  const { offer } = toast;
  return (
    <li
      className={styles.toast}
      data-failed={toast.failed || undefined}
      onPointerEnter={() => setHeld(true)}
      onPointerLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
    >
      <p className={styles.text} role={toast.failed ? "alert" : "status"}>
        {toast.text}
      </p>
      {offer && (
        <button
          type="button"
          className={styles.action}
          onClick={() => {
            close(toast.id);
            offer.run();
          }}
        >
          {offer.label}
        </button>
      )}
      <button type="button" className={styles.close} aria-label={t`Close`} onClick={() => close(toast.id)}>
        <CloseIcon />
      </button>
    </li>
  );
}

/** Where `tell` and `tellFailure` show. */
export function Toasts() {
  const { t } = useLingui();
  const list = useSyncExternalStore(subscribe, () => toasts);
  return (
    <section aria-label={t`Messages`}>
      <ul className={styles.region}>
        {list.map((each) => (
          <ToastCard key={each.id} toast={each} />
        ))}
      </ul>
    </section>
  );
}
