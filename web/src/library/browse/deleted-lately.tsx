import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { Button } from "../../parts/button";
import { useDeletedLately } from "../../selection/deleted-lately";
import { useUndo } from "../../selection/use-deletion";
import styles from "./browse.module.css";

/** What this browser has deleted and can bring back. */
export function DeletedLately() {
  const { i18n } = useLingui();
  const entries = useDeletedLately();
  const undo = useUndo();
  const [busy, setBusy] = useState<number | null>(null);
  if (!entries.length) return null;
  const bringBack = async (at: number, ids: string[]) => {
    setBusy(at);
    await undo(ids);
    setBusy(null);
  };
  return (
    <details className={styles.deleted}>
      <summary>
        <Trans>Deleted lately</Trans> <span className={styles.number}>{entries.length}</span>
      </summary>
      <ul>
        {entries.map(({ at, ids, count }) => (
          <li key={at}>
            <span>
              <Plural value={count} one="# picture" other="# pictures" />
              <time dateTime={new Date(at).toISOString()}>
                {i18n.date(new Date(at), { dateStyle: "medium", timeStyle: "short" })}
              </time>
            </span>
            <Button disabled={busy === at} onClick={() => void bringBack(at, ids)}>
              <Trans>Undo</Trans>
            </Button>
          </li>
        ))}
      </ul>
    </details>
  );
}
