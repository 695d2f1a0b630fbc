import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { picturePath, thumbnail, versionOf } from "../api/addresses";
import { answer, api, type Schemas } from "../api/client";
import styles from "./related.module.css";
import { setTrail } from "./trail";

const SIMILAR = 24;

type Shown = Pick<Schemas["ImageResult"], "image_id" | "object_key" | "caption" | "thumbnail_url" | "width" | "height">;

function Strip({ images, label, trail }: { images: readonly Shown[]; label: string; trail?: boolean }) {
  return (
    <ul className={styles.strip} aria-label={label}>
      {images.map((each) => (
        <li key={each.image_id}>
          <Link href={picturePath(each.image_id)} onClick={() => trail && setTrail(images.map((one) => one.image_id))}>
            <img
              src={thumbnail(each.image_id, { version: versionOf(each.thumbnail_url) })}
              alt={each.caption ?? each.object_key}
              width={each.width || 1}
              height={each.height || 1}
              loading="lazy"
            />
          </Link>
        </li>
      ))}
    </ul>
  );
}

function Similar({ id }: { id: string }) {
  const { t } = useLingui();
  const { data } = useQuery({
    queryKey: ["search", "similar", id],
    queryFn: () =>
      answer(
        api.GET("/api/v1/images/{image_id}/similar", {
          params: { path: { image_id: id }, query: { k: SIMILAR, fold_duplicates: true } },
        }),
      ),
  });
  const results = data?.results ?? [];
  if (data && !results.length) return null;
  return (
    <section>
      <h2>
        <Trans>Pictures like it</Trans>
      </h2>
      {data ? <Strip images={results} label={t`Pictures like it`} trail /> : <div className={styles.pending} />}
    </section>
  );
}

const KINDS = ["bytes", "photo"] as const;

/** The same photo once more. The service compares all pictures first; while it does, nothing is said. */
function Copies({ id }: { id: string }) {
  const { t } = useLingui();
  const { data } = useQuery({
    queryKey: ["duplicates", "of", id],
    queryFn: () =>
      Promise.all(
        KINDS.map((kind) => answer(api.GET("/api/v1/duplicates", { params: { query: { kind, image_id: id } } }))),
      ),
    retry: false,
  });
  const found = data?.flatMap((each) =>
    each.groups.flatMap((group) => [group.keep, ...group.others.map((other) => other.image)]),
  );
  const others = [...new Map(found?.map((each) => [each.image_id, each])).values()].filter(
    (each) => each.image_id !== id,
  );
  if (!others.length) return null;
  return (
    <section>
      <div className={styles.heading}>
        <h2>
          <Plural value={others.length} one="The same photo once more" other="The same photo # times more" />
        </h2>
        <Link href="/library/duplicates">
          <Trans>Review duplicates</Trans>
        </Link>
      </div>
      <Strip images={others} label={t`Copies of this photo`} />
    </section>
  );
}

/** Below the picture: its copies, and pictures like it. */
export function Related({ id }: { id: string }) {
  return (
    <div className={styles.related}>
      <Copies id={id} />
      <Similar id={id} />
    </div>
  );
}
