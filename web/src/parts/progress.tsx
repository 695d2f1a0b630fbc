import { type ReactNode, useId } from "react";
import styles from "./progress.module.css";

/** A bar with its label. `value` is 0 to 1; null: under way, it is not known how far. */
export function Progress({ value, label, detail }: { value: number | null; label: ReactNode; detail?: ReactNode }) {
  const id = useId();
  return (
    <div className={styles.progress}>
      <span id={id}>{label}</span>
      {detail && <span className={styles.detail}>{detail}</span>}
      <progress aria-labelledby={id} className={styles.bar} {...(value !== null && { value })} max={1} />
    </div>
  );
}
