import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useCallback, useEffect, useMemo } from "react";
import { Link } from "wouter";
import { messageOf } from "../../api/problems";
import { useFolders } from "../../api/use-folders";
import { useReadOnly } from "../../api/use-read-only";
import { rememberScroll, useScrollBack } from "../../app/scroll";
import { useShortcuts } from "../../app/shortcuts";
import { Button } from "../../parts/button";
import buttonStyles from "../../parts/button.module.css";
import { EmptyState } from "../../parts/empty-state";
import { Gallery } from "../../parts/gallery/gallery";
import { type Picture, pictureOf } from "../../parts/gallery/tile";
import { UploadIcon } from "../../parts/icons";
import { LoadFailure } from "../../parts/load-failure";
import { setTrail } from "../../picture/trail";
import { selection } from "../../selection/selection";
import { SelectionBar } from "../../selection/selection-bar";
import { isWithoutIndex, NoIndex } from "../no-index";
import { useImages } from "../queries";
import styles from "./browse.module.css";
import { DeletedLately } from "./deleted-lately";
import { FilterBar } from "./filter-bar";
import { FolderSelect, FolderTree, PendingTree } from "./folder-tree";
import { type Browsing, browsePath, filterCount, filtersOf, NO_FILTERS, SORTS, useBrowsing } from "./state";
import { ancestorsOf } from "./tree";

/** Folders beside the pictures of one of them. */
export function BrowsePage() {
  const { t } = useLingui();
  const [browsing, change] = useBrowsing();
  const filters = filtersOf(browsing);
  const folders = useFolders();
  const images = useImages({ ...filters, ...SORTS[browsing.sort] });
  const pages = images.data?.pages;
  const pictures = useMemo(() => pages?.flatMap((page) => page.images.map(pictureOf)) ?? [], [pages]);
  const tags = useMemo(
    () => [...new Set(pages?.flatMap((page) => page.images.flatMap((each) => each.tags)))].sort(),
    [pages],
  );
  const count = pages?.[0]?.count;
  useScrollBack(pictures.length > 0);
  // Tiles of "everything" that come while scrolling are ticked like the first ones.
  const asked = JSON.stringify(filters);
  useEffect(() => {
    if (JSON.stringify(selection.everything()?.meant.filters) !== asked) return;
    selection.showMore(pictures.map((each) => each.id));
  }, [pictures, asked]);

  const open = useCallback(() => {
    rememberScroll();
    setTrail(pictures.map((each) => each.id));
  }, [pictures]);
  const pathOf = (folder: string) => browsePath("/library", { ...browsing, folder });
  const selectAll = () => {
    if (!count) return;
    selection.takeEverything(
      { meant: { filters }, count },
      pictures.map((each) => each.id),
    );
  };
  useShortcuts([{ keys: "Ctrl+a", what: t`Select all pictures of the list`, run: selectAll }]);
  return (
    <div className={styles.layout}>
      <aside className={styles.aside}>
        {folders.data ? (
          <>
            <div className={styles.wide}>
              <FolderTree folders={folders.data} current={browsing.folder} pathOf={pathOf} />
            </div>
            <div className={styles.narrow}>
              <FolderSelect folders={folders.data} current={browsing.folder} pathOf={pathOf} />
            </div>
          </>
        ) : (
          folders.isPending && (
            <>
              <div className={styles.wide}>
                <PendingTree />
              </div>
              <div className={styles.narrow} />
            </>
          )
        )}
        <DeletedLately />
      </aside>
      <section className={styles.pictures} aria-busy={images.isFetching}>
        <Heading folder={browsing.folder} pathOf={pathOf} count={count} selectAll={selectAll} />
        <FilterBar browsing={browsing} change={change} tags={tags} />
        {images.isError && !pages ? (
          <Failure error={images.error} retry={() => void images.refetch()} />
        ) : count === 0 ? (
          <Nothing browsing={browsing} showAll={() => void change(NO_FILTERS)} />
        ) : (
          <Gallery
            pictures={pictures}
            label={t`Pictures`}
            pending={images.isPending || images.isFetchingNextPage}
            onNearEnd={
              images.hasNextPage && !images.isFetching && !images.isError
                ? () => void images.fetchNextPage()
                : undefined
            }
            onOpen={open}
            overlay={nameOver}
          />
        )}
        {images.isFetchNextPageError && (
          <p role="alert">
            {messageOf(images.error)}{" "}
            <Button onClick={() => void images.fetchNextPage()}>
              <Trans>Try again</Trans>
            </Button>
          </p>
        )}
      </section>
      <SelectionBar />
    </div>
  );
}

const toTop = () => scrollTo(0, 0);

const nameOver = (picture: Picture) => <p className={styles.over}>{picture.caption ?? picture.name}</p>;

interface HeadingProps {
  folder: string;
  pathOf: (folder: string) => string;
  count: number | undefined;
  selectAll: () => void;
}

function Heading({ folder, pathOf, count, selectAll }: HeadingProps) {
  const { t } = useLingui();
  const above = folder ? ["", ...ancestorsOf(folder).slice(0, -1)] : [];
  return (
    <header className={styles.heading}>
      {above.length > 0 && (
        <nav aria-label={t`Folders above`} className={styles.above}>
          {above.map((each) => (
            <Link key={each} href={pathOf(each)} onClick={toTop}>
              {each ? each.slice(each.lastIndexOf("/") + 1) : t`All pictures`}
            </Link>
          ))}
        </nav>
      )}
      <h1>{folder ? folder.slice(folder.lastIndexOf("/") + 1) : <Trans>All pictures</Trans>}</h1>
      <p className={styles.count} role="status">
        {count !== undefined && <Plural value={count} one="# picture" other="# pictures" />}
      </p>
      {count ? (
        <Button kind="quiet" onClick={selectAll}>
          <Plural value={count} one="Select it" other="Select all #" />
        </Button>
      ) : null}
    </header>
  );
}

function AddLink({ folder }: { folder?: string }) {
  const to = folder ? `/library/add?folder=${encodeURIComponent(folder)}` : "/library/add";
  return (
    <Link href={to} className={`${buttonStyles.button} ${buttonStyles.main}`}>
      <UploadIcon />
      <Trans>Add pictures</Trans>
    </Link>
  );
}

function Nothing({ browsing, showAll }: { browsing: Browsing; showAll: () => void }) {
  const readOnly = useReadOnly();
  const { folder } = browsing;
  if (filterCount(browsing)) {
    return (
      <EmptyState
        title={<Trans>No picture fits these filters</Trans>}
        action={
          <Button onClick={showAll}>
            <Trans>Show all of the folder</Trans>
          </Button>
        }
      >
        <p>
          <Trans>Take one of them away, or choose other dates.</Trans>
        </p>
      </EmptyState>
    );
  }
  if (folder) {
    return (
      <EmptyState
        title={<Trans>There is no picture in this folder</Trans>}
        action={
          <>
            {!readOnly && <AddLink folder={folder} />}
            <Link href="/library" className={buttonStyles.button}>
              <Trans>All pictures</Trans>
            </Link>
          </>
        }
      >
        <p>
          <Trans>It may have been moved or emptied. A folder is there for as long as it has pictures.</Trans>
        </p>
      </EmptyState>
    );
  }
  return (
    <EmptyState title={<Trans>The library is empty</Trans>} action={!readOnly && <AddLink />}>
      <p>
        {readOnly ? (
          <Trans>This service is read-only: put pictures into its storage, and start an index run.</Trans>
        ) : (
          <Trans>Add pictures from this device or from the web. They can be searched as soon as they are here.</Trans>
        )}
      </p>
    </EmptyState>
  );
}

function Failure({ error, retry }: { error: unknown; retry: () => void }) {
  if (isWithoutIndex(error)) return <NoIndex />;
  return <LoadFailure title={<Trans>The pictures can't be shown</Trans>} error={error} retry={retry} />;
}
