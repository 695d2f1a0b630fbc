import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { picturePath, thumbnail, versionOf } from "../api/addresses";
import { answer, api, type ImageInfo } from "../api/client";
import { EmptyState } from "../parts/empty-state";
import styles from "./landing.module.css";
import { searchPath } from "./url";

const SHOWN = 48;
const EXAMPLES = 5;

/** A handful of the library's own captions, spread over the pictures: they are searches that find something. */
export function examplesOf(images: readonly ImageInfo[]): string[] {
  const captions = [...new Set(images.map((each) => each.caption).filter((each): each is string => Boolean(each)))];
  const short = captions.filter((each) => each.length <= 42);
  const step = Math.max(1, Math.floor(short.length / EXAMPLES));
  return short.filter((_, i) => i % step === 0).slice(0, EXAMPLES);
}

/** Below the box while nothing is searched for: what the library holds, and searches to try. */
export function Landing() {
  const { t } = useLingui();
  const images = useQuery({
    queryKey: ["images", "landing"],
    queryFn: () =>
      answer(api.GET("/api/v1/images", { params: { query: { sort: "added", order: "desc", limit: SHOWN } } })),
  });
  const folders = useQuery({ queryKey: ["folders"], queryFn: () => answer(api.GET("/api/v1/folders")) });
  const list = images.data?.images ?? [];
  if (images.data && !list.length) {
    return (
      <EmptyState title={<Trans>The library is empty</Trans>}>
        <p>
          <Link href="/library/add">
            <Trans>Add pictures</Trans>
          </Link>
        </p>
      </EmptyState>
    );
  }
  const count = folders.data?.count ?? 0;
  const folderCount = folders.data?.folders.length ?? 0;
  const examples = examplesOf(list);
  return (
    <>
      <div className={styles.try}>
        {examples.length > 0 && (
          <ul aria-label={t`Searches to try`}>
            {examples.map((each) => (
              <li key={each}>
                <Link href={searchPath({ q: each })}>{each}</Link>
              </li>
            ))}
          </ul>
        )}
      </div>
      <section aria-labelledby="newest" className={styles.newest}>
        <div className={styles.heading}>
          <h2 id="newest">
            <Trans>Newest in your library</Trans>
          </h2>
          {count > 0 && (
            <Link href="/library">
              <Plural value={count} one="# picture" other="# pictures" />,{" "}
              <Plural value={folderCount} one="# folder" other="# folders" />
            </Link>
          )}
        </div>
        <ul className={styles.mosaic} aria-label={t`Newest pictures`}>
          {(list.length ? list : Array.from({ length: SHOWN }, () => null)).map((image, i) => (
            <li key={image?.image_id ?? i}>
              {image && (
                <Link href={picturePath(image.image_id)}>
                  <img
                    src={thumbnail(image.image_id, { version: versionOf(image.thumbnail_url) })}
                    alt={image.caption ?? image.object_key}
                    loading="lazy"
                  />
                </Link>
              )}
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}
