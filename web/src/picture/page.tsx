import { Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { original, picturePath, thumbnail, versionOf } from "../api/addresses";
import { answer, api, type ImageInfo } from "../api/client";
import { isServiceError } from "../api/problems";
import { useReadOnly } from "../api/use-read-only";
import { useShortcuts } from "../app/shortcuts";
import { Button } from "../parts/button";
import buttonStyles from "../parts/button.module.css";
import { EmptyState } from "../parts/empty-state";
import { BackIcon, DownloadIcon, ForwardIcon, SimilarIcon, SparkIcon, TrashIcon } from "../parts/icons";
import { LoadFailure } from "../parts/load-failure";
import { searchLike } from "../search/url";
import { useDeletion } from "../selection/use-deletion";
import { Description } from "./description";
import { Facts } from "./facts";
import { useHeatMap, WherePanel } from "./heat-map";
import styles from "./page.module.css";
import { Related } from "./related";
import { neighboursOf, trailWords } from "./trail";

export const pictureOptions = (id: string) => ({
  queryKey: ["picture", id],
  queryFn: () => answer(api.GET("/api/v1/images/{image_id}", { params: { path: { image_id: id } } })),
});

/** The largest size in which the picture fits beside its facts, known before it is loaded, so that nothing moves. */
function Stage({ image, heat }: { image: ImageInfo; heat: string | null }) {
  const { t } = useLingui();
  const [shown, setShown] = useState(false);
  const alt = image.caption ?? image.object_key;
  return (
    <figure className={styles.stage}>
      <div className={styles.frame} style={{ aspectRatio: `${image.width || 1} / ${image.height || 1}` }}>
        <img
          src={thumbnail(image.image_id, { version: versionOf(image.thumbnail_url) })}
          alt=""
          className={styles.small}
          data-hidden={shown || undefined}
        />
        <img
          src={thumbnail(image.image_id, { large: true, version: versionOf(image.thumbnail_url) })}
          alt={alt}
          onLoad={() => setShown(true)}
        />
        {heat && <img src={heat} alt={t`Where the words fit: most where it is red`} className={styles.heat} />}
      </div>
    </figure>
  );
}

function useWays(id: string) {
  const { t } = useLingui();
  const [, navigate] = useLocation();
  const { previous, next, position, count } = neighboursOf(id);
  const to = (other: string | null) => other && navigate(picturePath(other), { replace: true });
  const back = () => (history.length > 1 ? history.back() : navigate("/"));
  useShortcuts([
    { keys: "ArrowRight", what: t`Next picture`, run: () => to(next) },
    { keys: "ArrowLeft", what: t`Previous picture`, run: () => to(previous) },
    { keys: "Escape", what: t`Back to where you came from`, run: back },
  ]);
  return { previous, next, position, count, to, back };
}

function Actions({ image, onDeleted }: { image: ImageInfo; onDeleted: () => void }) {
  const { t } = useLingui();
  const readOnly = useReadOnly();
  const { remove, progress } = useDeletion();
  const id = image.image_id;
  const erase = () => void remove({ image_ids: [id] }, 1).then((deleted) => deleted && onDeleted());
  useShortcuts(readOnly ? [] : [{ keys: "Delete", what: t`Delete the picture`, run: erase }]);
  return (
    <div className={styles.actions}>
      <a
        href={original(id)}
        download={image.object_key.slice(image.object_key.lastIndexOf("/") + 1)}
        className={buttonStyles.button}
      >
        <DownloadIcon /> <Trans>Download</Trans>
      </a>
      <Link href={searchLike(id)} className={buttonStyles.button}>
        <SimilarIcon /> <Trans>Search with it</Trans>
      </Link>
      <Link href={`/generate?init=${id}`} className={buttonStyles.button}>
        <SparkIcon /> <Trans>Draw from it</Trans>
      </Link>
      {!readOnly && (
        <Button kind="danger" onClick={erase} disabled={progress !== null}>
          <TrashIcon /> <Trans>Delete</Trans>
        </Button>
      )}
    </div>
  );
}

function Picture({ image }: { image: ImageInfo }) {
  const { t } = useLingui();
  const id = image.image_id;
  const { previous, next, position, count, to, back } = useWays(id);
  const heat = useHeatMap(id);
  return (
    <article className={styles.page}>
      <div className={styles.ways}>
        <Button kind="quiet" onClick={back}>
          <BackIcon /> <Trans>Back</Trans>
        </Button>
        {count > 1 && position > 0 && (
          <div className={styles.steps}>
            <Button
              kind="quiet"
              icon
              aria-label={t`Previous picture`}
              disabled={!previous}
              onClick={() => to(previous)}
            >
              <BackIcon />
            </Button>
            <span>
              <Trans>
                {position} of {count}
              </Trans>
            </span>
            <Button kind="quiet" icon aria-label={t`Next picture`} disabled={!next} onClick={() => to(next)}>
              <ForwardIcon />
            </Button>
          </div>
        )}
      </div>
      <div className={styles.columns}>
        <Stage key={id} image={image} heat={heat.address} />
        <div className={styles.side}>
          <Description image={image} />
          <Actions image={image} onDeleted={() => (next ? to(next) : back())} />
          <WherePanel heat={heat} suggestion={trailWords()} />
          <Facts image={image} />
        </div>
      </div>
      <Related id={id} />
    </article>
  );
}

/** One picture: large, with what is known of it, why it was found, and what is like it. */
export default function PicturePage({ id }: { id: string }) {
  const { data, error, refetch } = useQuery(pictureOptions(id));
  const name = data?.caption ?? data?.object_key;
  useEffect(() => {
    if (name) document.title = `${name} – image2search`;
  }, [name]);
  if (isServiceError(error, 404, 422)) {
    return (
      <EmptyState title={<Trans>There is no such picture</Trans>}>
        <p>
          <Trans>It was deleted or moved, or the address is incomplete.</Trans>{" "}
          <Link href="/library">
            <Trans>To the library</Trans>
          </Link>
        </p>
      </EmptyState>
    );
  }
  if (error && !data) {
    return <LoadFailure title={<Trans>The picture can't be shown</Trans>} error={error} retry={refetch} />;
  }
  if (!data) return <div className={styles.pending} />;
  return <Picture image={data} />;
}
