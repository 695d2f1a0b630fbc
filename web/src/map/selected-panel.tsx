import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { Link } from "wouter";
import { picturePath, thumbnail } from "../api/addresses";
import { Button } from "../parts/button";
import { useSelection } from "../selection/selection";
import { SelectionBar } from "../selection/selection-bar";
import styles from "./selected-panel.module.css";

const FIRST = 60;
const MORE = 240;

/** The selected pictures in small, and what can be done with them. */
export function SelectedPanel({ onShow }: { onShow: () => void }) {
  const selected = useSelection();
  if (!selected.size) return null;
  return <Panel ids={[...selected]} onShow={onShow} />;
}

function Panel({ ids, onShow }: { ids: string[]; onShow: () => void }) {
  const { t } = useLingui();
  const [most, setMost] = useState(FIRST);
  const hidden = ids.length - most;
  return (
    <>
      <aside className={styles.panel} aria-label={t`Selected pictures`}>
        <h2 className={styles.title}>
          <Plural value={ids.length} one="# selected" other="# selected" />
        </h2>
        <ul className={styles.list}>
          {ids.slice(0, most).map((id, i) => (
            <li key={id}>
              <Link href={picturePath(id)}>
                <img
                  src={thumbnail(id)}
                  alt={t`Number ${i + 1} of the selection`}
                  loading="lazy"
                  decoding="async"
                  draggable={false}
                />
              </Link>
            </li>
          ))}
        </ul>
        {hidden > 0 && (
          <Button onClick={() => setMost(most + MORE)}>
            <Plural value={hidden} one="Show # more" other="Show # more" />
          </Button>
        )}
      </aside>
      <SelectionBar>
        <Button onClick={onShow}>
          <Trans>Go there</Trans>
        </Button>
      </SelectionBar>
    </>
  );
}
