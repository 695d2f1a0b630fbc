import { useLingui } from "@lingui/react/macro";
import type { Picture } from "../parts/gallery/tile";
import { MinusIcon, PlusIcon } from "../parts/icons";
import { mark, useMark } from "../sessions/marks";
import styles from "./hit-overlay.module.css";

/** What a search knows of a hit: how relevant it is, when it was taken, what it shows. Its buttons mark it for refining. */
export function HitOverlay({ picture }: { picture: Picture }) {
  const { t, i18n } = useLingui();
  const marked = useMark(picture.id);
  const { hit } = picture;
  const date = i18n.date(new Date(picture.date), { year: "numeric", month: "short", day: "numeric" });
  return (
    <div className={styles.overlay}>
      <p className={styles.caption}>{picture.caption ?? picture.name}</p>
      <div className={styles.line}>
        <span className={styles.facts}>
          {typeof hit?.relevance === "number" && (
            <span title={t`How likely it fits, from 0 to 100 %`}>
              {i18n.number(hit.relevance, { style: "percent" })}
            </span>
          )}
          <span>{date}</span>
          {hit?.stands_for && hit.stands_for > 1 ? <span title={t`Files of this photo`}>×{hit.stands_for}</span> : null}
        </span>
        {hit && (
          <span className={styles.marks}>
            <button
              type="button"
              aria-pressed={marked === 1}
              aria-label={t`More like this`}
              title={t`More like this`}
              onClick={() => mark(picture.id, 1)}
            >
              <PlusIcon />
            </button>
            <button
              type="button"
              aria-pressed={marked === -1}
              aria-label={t`Less like this`}
              title={t`Less like this`}
              onClick={() => mark(picture.id, -1)}
            >
              <MinusIcon />
            </button>
          </span>
        )}
      </div>
    </div>
  );
}
