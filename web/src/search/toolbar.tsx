import { Trans, useLingui } from "@lingui/react/macro";
import type { ReactNode } from "react";
import type { ImageResult } from "../api/client";
import { facetsOf } from "./facets";
import { useMatches } from "./matches";
import { hasWords } from "./request";
import styles from "./toolbar.module.css";
import { type ChangeSearch, MODES, type Search, SORTS } from "./url";

interface Props {
  search: Search;
  change: ChangeSearch;
  hits: readonly ImageResult[];
  /** What to say of the hits, beside the choices. */
  children?: ReactNode;
}

function Facets({ search, change, hits }: Omit<Props, "children">) {
  const { t } = useLingui();
  // Those of other folders too, so that a choice can be changed.
  const everywhere = search.folder.length ? { ...search, folder: [], guess: false } : search;
  const { data, isPending, isPlaceholderData } = useMatches(everywhere);
  const facets = facetsOf(data, hits, search.folder);
  if (!facets.some((each) => each.folder)) return null;
  const toggle = (folder: string) => {
    const without = search.folder.filter((each) => each !== folder);
    void change({ folder: without.length < search.folder.length ? without : [...without, folder] });
  };
  return (
    <ul
      className={styles.facets}
      aria-label={t`Folders of the hits`}
      data-pending={isPending || isPlaceholderData || undefined}
    >
      {facets.map(({ folder, count }) => (
        <li key={folder}>
          <button
            type="button"
            aria-pressed={search.folder.includes(folder)}
            disabled={!folder}
            onClick={() => toggle(folder)}
          >
            {folder || t`the top`} {count !== null && <span>{count}</span>}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** How the search is done and shown, and the folders in which its hits lie. */
export function Toolbar({ search, change, hits, children }: Props) {
  const { t } = useLingui();
  const modes = { vector: t`What pictures show`, hybrid: t`Pictures and words`, words: t`Names, captions, tags` };
  const sorts = { score: t`Best first`, newest: t`Newest first`, oldest: t`Oldest first` };
  const plus = (search.q.trim() ? 1 : 0) + search.term.filter((each) => each.weight > 0).length;
  return (
    <div className={styles.bar}>
      <Facets search={search} change={change} hits={hits} />
      <div className={styles.said}>{children}</div>
      <div className={styles.choices}>
        {hasWords(search) && (
          <label>
            <span className="visually-hidden">
              <Trans>Search in</Trans>
            </span>
            <select
              value={search.mode}
              onChange={(event) => void change({ mode: event.target.value as (typeof MODES)[number] })}
            >
              {MODES.map((each) => (
                <option key={each} value={each}>
                  {modes[each]}
                </option>
              ))}
            </select>
          </label>
        )}
        <label>
          <span className="visually-hidden">
            <Trans>Order</Trans>
          </span>
          <select
            value={search.sort}
            onChange={(event) => void change({ sort: event.target.value as (typeof SORTS)[number] })}
          >
            {SORTS.map((each) => (
              <option key={each} value={each}>
                {sorts[each]}
              </option>
            ))}
          </select>
        </label>
        {plus > 1 && (
          <label title={t`A picture has to fit every part, and not only their sum`}>
            <input
              type="checkbox"
              checked={search.all}
              onChange={(event) => void change({ all: event.target.checked })}
            />
            <Trans>fits every part</Trans>
          </label>
        )}
        <label title={t`Copies and resized files of one photo are shown once`}>
          <input
            type="checkbox"
            checked={search.fold}
            onChange={(event) => void change({ fold: event.target.checked })}
          />
          <Trans>each photo once</Trans>
        </label>
      </div>
    </div>
  );
}
