import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useMemo } from "react";
import { Link } from "wouter";
import type { ImageResult, SearchResult } from "../api/client";
import { isServiceError } from "../api/problems";
import { rememberScroll, useScrollBack } from "../app/scroll";
import { useShortcuts } from "../app/shortcuts";
import { Button } from "../parts/button";
import { EmptyState } from "../parts/empty-state";
import { Gallery } from "../parts/gallery/gallery";
import { type Picture, pictureOf } from "../parts/gallery/tile";
import { LoadFailure } from "../parts/load-failure";
import { setTrail } from "../picture/trail";
import { selection } from "../selection/selection";
import { SelectionBar } from "../selection/selection-bar";
import { RefineBar } from "../sessions/refine-bar";
import { shownOptions } from "../sessions/refining";
import { HitOverlay } from "./hit-overlay";
import { useMatches } from "./matches";
import { searchPage, UploadGone } from "./request";
import styles from "./results.module.css";
import { Toolbar } from "./toolbar";
import type { ChangeSearch, Search } from "./url";

interface Props {
  search: Search;
  change: ChangeSearch;
}

const overlay = (picture: Picture) => <HitOverlay picture={picture} />;

/** The pages of a search, kept for as long as the library stays as it is. */
export function useHits(search: Search, enabled: boolean) {
  const { session: _, ...asked } = search;
  return useInfiniteQuery({
    queryKey: ["search", asked],
    queryFn: ({ pageParam, signal }) => searchPage(search, pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last: SearchResult) => last.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
    enabled,
  });
}

function Hits({ hits, label, words, more, pending }: HitsProps) {
  const { t } = useLingui();
  const pictures = useMemo(() => hits.map(pictureOf), [hits]);
  const open = useCallback(() => {
    rememberScroll();
    setTrail(
      pictures.map((each) => each.id),
      words,
    );
  }, [pictures, words]);
  useScrollBack(hits.length > 0);
  useShortcuts([
    {
      keys: "Ctrl+a",
      what: t`Select all hits that are shown`,
      run: () => selection.set(pictures.map((each) => each.id)),
    },
  ]);
  return (
    <>
      <Gallery pictures={pictures} label={label} overlay={overlay} onNearEnd={more} pending={pending} onOpen={open} />
      <SelectionBar />
    </>
  );
}

interface HitsProps {
  hits: readonly ImageResult[];
  label: string;
  words: string;
  more?: () => void;
  pending?: boolean;
}

function Failure({ error, again }: { error: unknown; again: () => void }) {
  if (error instanceof UploadGone) {
    return (
      <EmptyState title={<Trans>The picture of this search is not here</Trans>}>
        <p>
          <Trans>
            A picture that you drop stays in the browser in which you dropped it. Drop it again to search with it.
          </Trans>
        </p>
      </EmptyState>
    );
  }
  return (
    <LoadFailure title={<Trans>This search failed</Trans>} error={error} retry={again}>
      {isServiceError(error) && error.requestId && (
        <p>
          <Trans>In the service's log it is request {error.requestId}.</Trans>
        </p>
      )}
    </LoadFailure>
  );
}

function NothingFits({ search, change, none }: Props & { none: boolean }) {
  const words = search.q.trim();
  const narrowed = search.folder.length > 0;
  return (
    <div className={styles.poor} role="status">
      <p>
        <strong>{none ? <Trans>Nothing was found.</Trans> : <Trans>Probably nothing here fits well.</Trans>}</strong>{" "}
        {!none && <Trans>These are the nearest pictures there are.</Trans>} <Trans>Try other words, or fewer.</Trans>
      </p>
      <div className={styles.ways}>
        {narrowed && (
          <Button onClick={() => void change({ folder: [] })}>
            <Trans>Search all folders</Trans>
          </Button>
        )}
        {words && search.mode === "vector" && (
          <Button onClick={() => void change({ mode: "hybrid" })}>
            <Trans>Search names and captions too</Trans>
          </Button>
        )}
        {words && (
          <Link href={`/generate?prompt=${encodeURIComponent(words)}`} className={styles.draw}>
            <Trans>Draw it instead</Trans>
          </Link>
        )}
      </div>
    </div>
  );
}

/** What the service understood, where that is not what was typed. */
function Understood({ result, search, change }: Props & { result: SearchResult }) {
  const { understood, folder, note } = result;
  return (
    <>
      {understood && (
        <p className={styles.note}>
          <Trans>
            Looked for “{understood.text}” without {understood.minus.map((each) => `“${each}”`).join(", ")}.
          </Trans>{" "}
          <button type="button" onClick={() => void change({ minus: false })}>
            <Trans>Take the words as they are</Trans>
          </button>
        </p>
      )}
      {!search.minus && (
        <p className={styles.note}>
          <Trans>“-” and “without” are taken as words.</Trans>{" "}
          <button type="button" onClick={() => void change({ minus: null })}>
            <Trans>Let them take away</Trans>
          </button>
        </p>
      )}
      {note && <p className={styles.note}>{note}</p>}
      {!search.guess && !folder && (
        <p className={styles.note}>
          <Trans>All folders are searched.</Trans>{" "}
          <button type="button" onClick={() => void change({ guess: null })}>
            <Trans>Follow folder names in the words</Trans>
          </button>
        </p>
      )}
    </>
  );
}

/** How many pictures fit, shown or not, and a button that selects them. */
function Fitting({ search, poor }: { search: Search; poor: boolean }) {
  const { data, isPlaceholderData } = useMatches(search);
  const count = data?.image_ids.length;
  // Its place stays where nothing fits well, or nothing is known yet: else the hits would jump.
  if (!data || !count || poor || isPlaceholderData) return <span className={styles.fitting} />;
  return (
    <span className={styles.fitting}>
      {data.is_whole ? (
        <Plural value={count} one="# picture fits." other="# pictures fit." />
      ) : (
        <Plural value={count} one="At least # picture fits." other="At least # pictures fit." />
      )}{" "}
      <button type="button" onClick={() => selection.set(data.image_ids)}>
        <Trans>Select them</Trans>
      </button>
    </span>
  );
}

/** The hits of the search in the address, page after page. */
export function Results({ search, change }: Props) {
  const { t } = useLingui();
  const query = useHits(search, true);
  const { data, error, fetchNextPage, hasNextPage, isFetchingNextPage, isPending, isPlaceholderData } = query;
  const hits = useMemo(() => data?.pages.flatMap((page) => page.results) ?? [], [data]);
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage && !error) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, error, fetchNextPage]);
  const first = data?.pages[0];

  if (error && !data) return <Failure error={error} again={() => void query.refetch()} />;
  return (
    <div
      className={styles.results}
      aria-busy={isPending || isPlaceholderData}
      data-stale={isPlaceholderData || undefined}
    >
      <RefineBar search={search} change={change} />
      {first ? (
        <Toolbar search={search} change={change} hits={first.results}>
          <p role="status">
            {hasNextPage ? (
              <Trans>The best {hits.length} so far, more below</Trans>
            ) : (
              <Plural value={hits.length} one="# picture" other="# pictures" />
            )}
            {" · "}
            <Trans>{Math.round(first.took_ms)} ms</Trans>
          </p>
          <Fitting search={search} poor={first.good_match === false} />
        </Toolbar>
      ) : (
        <div className={styles.toolbarPending} />
      )}
      {first && (
        <>
          <Understood result={first} search={search} change={change} />
          {(first.good_match === false || !hits.length) && (
            <NothingFits search={search} change={change} none={!hits.length} />
          )}
        </>
      )}
      <Hits hits={hits} label={t`Hits`} words={search.q} more={more} pending={isPending || isFetchingNextPage} />
      {error && data && <Failure error={error} again={() => void query.refetch()} />}
    </div>
  );
}

/** The hits of a search that is being refined. */
export function RefinedResults({ search, change, session }: Props & { session: string }) {
  const { t } = useLingui();
  const { data, error, refetch, isPending } = useQuery(shownOptions(session));
  const hits = useMemo(() => data?.results ?? [], [data]);
  if (isServiceError(error, 404)) {
    return (
      <EmptyState
        title={<Trans>This refinement has ended</Trans>}
        action={
          <Button kind="main" onClick={() => void change({ session: null })}>
            <Trans>Back to the first search</Trans>
          </Button>
        }
      >
        <p>
          <Trans>It was not used for too long, so the service has forgotten it.</Trans>
        </p>
      </EmptyState>
    );
  }
  if (error) return <Failure error={error} again={() => void refetch()} />;
  return (
    <div className={styles.results} aria-busy={isPending}>
      <RefineBar search={search} change={change} />
      {data?.note && <p className={styles.note}>{data.note}</p>}
      <p className={styles.count} role="status">
        <Plural value={hits.length} one="# picture" other="# pictures" />
      </p>
      <Hits hits={hits} label={t`Hits`} words={search.q} pending={isPending} />
    </div>
  );
}
