import { Trans, useLingui } from "@lingui/react/macro";
import { type DragEvent, useEffect, useRef, useState } from "react";
import { useShortcuts } from "../app/shortcuts";
import { Landing } from "./landing";
import styles from "./page.module.css";
import { RefinedResults, Results, useHits } from "./results";
import { SearchBox, useAddPictures } from "./search-box";
import { picturesIn } from "./uploads";
import { type ChangeSearch, isEmpty, type Search, useSearchState } from "./url";

function useDrop(search: Search, change: ChangeSearch) {
  const add = useAddPictures(search, change);
  const [over, setOver] = useState(false);
  const depth = useRef(0);
  const count = (step: number) => {
    depth.current = Math.max(0, depth.current + step);
    setOver(depth.current > 0);
  };
  return {
    over,
    handlers: {
      onDragEnter: () => count(1),
      onDragLeave: () => count(-1),
      onDragOver: (event: DragEvent) => event.preventDefault(),
      onDrop: (event: DragEvent) => {
        event.preventDefault();
        depth.current = 0;
        setOver(false);
        void add(picturesIn(event.dataTransfer));
      },
    },
  };
}

function useTitle(search: Search) {
  const words = [search.q, ...search.term.filter((each) => each.kind === "text").map((each) => each.value)];
  const title = words.filter(Boolean).join(", ");
  useEffect(() => {
    document.title = title ? `${title} – image2search` : "image2search";
  }, [title]);
}

/** The search: a box, and below it what it finds, or what the library holds. */
export function SearchPage() {
  const { t } = useLingui();
  const [search, change] = useSearchState();
  const empty = isEmpty(search);
  const { over, handlers } = useDrop(search, change);
  useTitle(search);
  const focus = () => {
    const box = document.getElementById("words");
    if (box instanceof HTMLInputElement) box.select();
  };
  const first = () => document.querySelector<HTMLElement>("[data-index]")?.focus();
  useShortcuts([
    { keys: "/", what: t`To the search box`, run: focus },
    { keys: "ArrowDown", what: t`To the first picture; then the arrow keys move, Enter opens, X selects`, run: first },
    { keys: "Escape", what: t`Clear the search`, run: () => void change(null) },
  ]);
  const { data } = useHits(search, !empty && !search.session);
  const folder = data?.pages[0]?.folder;
  const guessed = folder?.source === "detected" && !folder.widened ? { path: folder.path, words: folder.words } : null;
  return (
    <div className={styles.page} data-empty={empty || undefined} {...handlers}>
      <div className={styles.top}>
        {empty && (
          <div className={styles.pitch}>
            <h1>
              <Trans>Find a picture by what it shows</Trans>
            </h1>
            <p>
              <Trans>Say it in words, show one like it, or both. Take away what it must not show.</Trans>
            </p>
          </div>
        )}
        {!empty && (
          <h1 className="visually-hidden">
            <Trans>Search</Trans>
          </h1>
        )}
        <SearchBox search={search} change={change} guessed={search.session ? null : guessed} large={empty} />
      </div>
      {empty && <Landing />}
      {!empty && search.session && <RefinedResults search={search} change={change} session={search.session} />}
      {!empty && !search.session && <Results search={search} change={change} />}
      {over && (
        <div className={styles.drop}>
          <p>
            <Trans>Drop it to search with it</Trans>
          </p>
        </div>
      )}
    </div>
  );
}
