import type { ReactNode } from "react";
import { Link } from "wouter";
import styles from "./tab-links.module.css";

export interface TabLink {
  to: string;
  name: ReactNode;
  here: boolean;
  /** A number beside the name. */
  count?: number | undefined;
}

/** A row of links of which one is where the person is: each has an address of its own. */
export function TabLinks({ label, links }: { label: string; links: readonly TabLink[] }) {
  return (
    <nav aria-label={label} className={styles.tabs}>
      {links.map(({ to, name, here, count }) => (
        <Link key={to} href={to} className={styles.tab} aria-current={here ? "page" : undefined}>
          {name}
          {count !== undefined && <span className={styles.count}>{count}</span>}
        </Link>
      ))}
    </nav>
  );
}
