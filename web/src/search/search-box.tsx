import { Trans, useLingui } from "@lingui/react/macro";
import { type ClipboardEvent, type FormEvent, type KeyboardEvent, useEffect, useRef, useState } from "react";
import { Button } from "../parts/button";
import { CloseIcon, FolderIcon, MinusIcon, PictureIcon, PlusIcon, SearchIcon } from "../parts/icons";
import { tellFailure } from "../parts/toasts";
import { TermChip } from "./chip";
import styles from "./search-box.module.css";
import { keepUpload, picturesIn } from "./uploads";
import type { ChangeSearch, Search, Term } from "./url";

interface Props {
  search: Search;
  change: ChangeSearch;
  /** A folder that was guessed from the words, which the person may not want. */
  guessed?: { path: string; words: string[] } | null;
  large?: boolean;
}

const WEB_ADDRESS = /^https?:\/\/\S+$/;

/** Adds pictures of files and addresses to the search. */
export function useAddPictures(search: Search, change: ChangeSearch) {
  return async ({ files, urls }: { files: File[]; urls: string[] }) => {
    try {
      const uploads: Term[] = [];
      for (const file of files) uploads.push({ kind: "upload", value: await keepUpload(file), weight: 1 });
      const linked: Term[] = urls.map((value) => ({ kind: "url", value, weight: 1 }));
      const known = new Set(search.term.map((each) => each.value));
      const fresh = [...uploads, ...linked].filter((each) => !known.has(each.value));
      if (fresh.length) void change({ term: [...search.term, ...fresh], session: null });
    } catch (error) {
      tellFailure(error);
    }
  };
}

/** Words, pictures and addresses in one box, each with a plus or a minus. */
export function SearchBox({ search, change, guessed = null, large = false }: Props) {
  const { t } = useLingui();
  const [words, setWords] = useState(search.q);
  const input = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  useEffect(() => setWords(search.q), [search.q]);
  const add = useAddPictures(search, change);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const typed = words.trim();
    if (WEB_ADDRESS.test(typed)) {
      setWords("");
      void add({ files: [], urls: [typed] }).then(() => change({ q: "" }));
    } else void change({ q: typed, session: null, guess: null, sort: null });
  };
  const addWords = (weight: number) => {
    const typed = words.trim();
    if (!typed) return input.current?.focus();
    setWords("");
    void change({ q: "", term: [...search.term, { kind: "text", value: typed, weight }], session: null });
  };
  const onPaste = (event: ClipboardEvent) => {
    const { files } = picturesIn(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    void add({ files, urls: [] });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Backspace" && !words && search.term.length)
      void change({ term: search.term.slice(0, -1), session: null });
  };
  const replaceTerm = (index: number, term: Term | null) =>
    void change({
      term: search.term.flatMap((each, i) => (i === index ? (term ? [term] : []) : [each])),
      session: null,
    });
  const removeFolder = (path: string) => {
    if (guessed?.path === path) void change({ guess: false });
    else void change({ folder: search.folder.filter((each) => each !== path) });
  };

  const folders = guessed ? [guessed.path] : search.folder;
  const fresh = words.trim() && words.trim() !== search.q;
  const full = words.trim() || search.term.length || search.folder.length;
  return (
    <form role="search" className={styles.box} data-large={large || undefined} onSubmit={submit}>
      <div className={styles.line}>
        <SearchIcon />
        <label htmlFor="words" className="visually-hidden">
          <Trans>What to look for</Trans>
        </label>
        <input
          ref={input}
          id="words"
          type="search"
          className={styles.input}
          autoComplete="off"
          enterKeyHint="search"
          placeholder={search.term.length ? t`Add words` : t`Describe it, or drop a picture here`}
          value={words}
          onChange={(event) => setWords(event.target.value)}
          onPaste={onPaste}
          onKeyDown={onKeyDown}
        />
        {full ? (
          <Button
            kind="quiet"
            icon
            aria-label={t`Clear the search`}
            onClick={() => {
              setWords("");
              void change(null);
              input.current?.focus();
            }}
          >
            <CloseIcon />
          </Button>
        ) : null}
        <Button
          kind="quiet"
          icon
          aria-label={t`Search with a picture`}
          title={t`Search with a picture`}
          onClick={() => picker.current?.click()}
        >
          <PictureIcon />
        </Button>
        <input
          ref={picker}
          type="file"
          accept="image/*"
          multiple
          hidden
          data-testid="picture-file"
          onChange={(event) => {
            void add({ files: [...(event.target.files ?? [])], urls: [] });
            event.target.value = "";
          }}
        />
        <Button kind="main" type="submit">
          <Trans>Search</Trans>
        </Button>
      </div>
      {(search.term.length > 0 || folders.length > 0 || fresh) && (
        <ul className={styles.chips} aria-label={t`Parts of the search`}>
          {folders.map((path) => (
            <li
              key={path}
              className={styles.folder}
              title={guessed ? t`Your words point at this folder: ${guessed.words.join(", ")}` : undefined}
            >
              <FolderIcon />
              <span>{path || t`the top`}</span>
              <button type="button" onClick={() => removeFolder(path)} aria-label={t`Search outside of ${path} too`}>
                <CloseIcon />
              </button>
            </li>
          ))}
          {search.term.map((term, index) => (
            <TermChip
              key={`${term.kind}:${term.value}`}
              term={term}
              onChange={(next) => replaceTerm(index, next)}
              onRemove={() => replaceTerm(index, null)}
            />
          ))}
          {fresh && (
            <li className={styles.add}>
              <button
                type="button"
                onClick={() => addWords(1)}
                title={t`Make the words one part of the search, and add more`}
              >
                <PlusIcon /> <Trans>with</Trans>
              </button>
              <button type="button" onClick={() => addWords(-1)} title={t`Take away what the words describe`}>
                <MinusIcon /> <Trans>without</Trans>
              </button>
            </li>
          )}
        </ul>
      )}
    </form>
  );
}
