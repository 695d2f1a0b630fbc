import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import { useReadOnly } from "../api/use-read-only";
import { useShortcuts } from "../app/shortcuts";
import { Button } from "../parts/button";
import buttonStyles from "../parts/button.module.css";
import { CloseIcon, SimilarIcon, TrashIcon } from "../parts/icons";
import { searchLike } from "../search/url";
import type { Meant } from "./deletion";
import { DeletionDialog } from "./deletion-dialog";
import { selection, useEverything, useSelection } from "./selection";
import styles from "./selection-bar.module.css";

/** A search takes the first of them as its terms. */
const MOST_TERMS = 10;

/** What can be done with the selected pictures, at the bottom of the window while there are any. `children`: more of it. */
export function SelectionBar({ children }: { children?: ReactNode }) {
  const selected = useSelection();
  if (!selected.size) return null;
  return <Bar selected={selected}>{children}</Bar>;
}

function Bar({ selected, children }: { selected: ReadonlySet<string>; children: ReactNode }) {
  const { t } = useLingui();
  const everything = useEverything();
  const readOnly = useReadOnly();
  const [meant, setMeant] = useState<Meant | null>(null);
  const count = everything?.count ?? selected.size;
  const askToDelete = () => setMeant(everything?.meant ?? { image_ids: [...selected] });

  useShortcuts(
    [
      { keys: "Escape", what: t`Select nothing`, run: selection.clear },
      ...(readOnly ? [] : [{ keys: "Delete", what: t`Delete the selected pictures`, run: askToDelete }]),
    ],
    { first: true },
  );
  return (
    <section className={styles.bar} aria-label={t`Selection`}>
      <p className={styles.count} role="status">
        <Plural value={count} one="# picture selected" other="# pictures selected" />
      </p>
      <div className={styles.actions}>
        {children}
        <Link
          href={searchLike(...[...selected].slice(0, MOST_TERMS))}
          className={buttonStyles.button}
          title={t`Search for pictures like these`}
        >
          <SimilarIcon />
          <span>
            <Trans>More like these</Trans>
          </span>
        </Link>
        {!readOnly && (
          <Button kind="danger" onClick={askToDelete}>
            <TrashIcon />
            <span>
              <Trans>Delete</Trans>
            </span>
          </Button>
        )}
        <Button kind="quiet" icon onClick={selection.clear} aria-label={t`Select nothing`} title={t`Select nothing`}>
          <CloseIcon />
        </Button>
      </div>
      <DeletionDialog meant={meant} onClose={() => setMeant(null)} onDeleted={selection.clear} />
    </section>
  );
}
