import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { type FormEvent, useEffect, useState } from "react";
import { messageOf } from "../api/problems";
import { Button } from "../parts/button";
import { CloseIcon, SearchIcon } from "../parts/icons";
import type { Hits } from "./queries";
import styles from "./search-field.module.css";

interface Props {
  text: string;
  onSearch: (text: string) => void;
  hits: Hits | undefined;
  error: unknown;
  onShow: () => void;
  onSelect: () => void;
}

/** Words whose hits are lit up on the map. */
export function SearchField({ text, onSearch, hits, error, onShow, onSelect }: Props) {
  const { t } = useLingui();
  const [words, setWords] = useState(text);
  useEffect(() => setWords(text), [text]);
  const count = hits?.ids.length ?? 0;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSearch(words.trim());
  };
  return (
    <div className={styles.search}>
      <form role="search" className={styles.form} onSubmit={submit}>
        <SearchIcon />
        <input
          type="search"
          aria-label={t`Search on the map`}
          placeholder={t`Light up pictures of…`}
          autoComplete="off"
          enterKeyHint="search"
          value={words}
          onChange={(event) => setWords(event.target.value)}
        />
        {(words || text) && (
          <Button
            kind="quiet"
            icon
            aria-label={t`Clear the search`}
            onClick={() => {
              setWords("");
              onSearch("");
            }}
          >
            <CloseIcon />
          </Button>
        )}
      </form>
      <div className={styles.status} role="status">
        {text !== "" && error ? (
          <p>{messageOf(error)}</p>
        ) : text !== "" && hits ? (
          <>
            <p>
              {hits.fitting === "none" ? (
                <Trans>Nothing fits well. The nearest are lit up.</Trans>
              ) : hits.fitting === "unknown" ? (
                <Trans>The nearest are lit up.</Trans>
              ) : hits.fitting === "best" ? (
                <Plural value={count} one="At least # picture fits." other="At least # pictures fit." />
              ) : (
                <Plural value={count} one="# picture fits." other="# pictures fit." />
              )}
            </p>
            {count > 0 && (
              <>
                <button type="button" onClick={onShow}>
                  <Trans>Go there</Trans>
                </button>
                <button type="button" onClick={onSelect}>
                  <Trans>Select them</Trans>
                </button>
              </>
            )}
          </>
        ) : null}
      </div>
    </div>
  );
}
