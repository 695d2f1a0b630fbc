import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { Link } from "wouter";
import { picturePath, thumbnail, versionOf } from "../../api/addresses";
import type { ImageInfo, Schemas } from "../../api/client";
import { Button } from "../../parts/button";
import { bytesText } from "../../parts/bytes";
import { bytesOf, type Group, type Kept, picturesOf, split } from "./choice";
import styles from "./duplicates.module.css";

interface Props {
  group: Group;
  kept: Kept;
  /** Null: nothing can be changed here. */
  actions: {
    keep: (id: string) => void;
    deleteOthers: () => void;
    dismiss: () => void;
    restore: () => void;
  } | null;
  busy: boolean;
}

/** Pictures side by side, with the one that stays. */
export function GroupCard({ group, kept, actions, busy }: Props) {
  const { i18n } = useLingui();
  const { keep, others } = split(group, kept);
  const pictures = picturesOf(group);
  const turned = new Set(group.others.filter((each) => each.turned).map((each) => each.image.image_id));
  const freed = bytesText(bytesOf(others), i18n.locale);
  const left = group.count - pictures.length;
  return (
    <li className={styles.group}>
      <fieldset>
        <legend className={styles.legend}>
          <Plural value={group.count} one="# picture" other="# pictures" />
          {group.burst && (
            <>
              {", "}
              <Trans>taken one after the other</Trans>
            </>
          )}
        </legend>
        <div className={styles.pictures}>
          {pictures.map((image) => (
            <Candidate
              key={image.image_id}
              image={image}
              name={group.id}
              stays={image === keep}
              turned={turned.has(image.image_id)}
              why={image === group.keep ? <Why reason={group.reason} /> : null}
              onKeep={actions && !group.dismissal_id ? () => actions.keep(image.image_id) : null}
            />
          ))}
        </div>
        {left > 0 && (
          <p className={styles.soft}>
            <Plural
              value={left}
              one="# more of this group is not shown and stays."
              other="# more of this group are not shown and stay."
            />
          </p>
        )}
      </fieldset>
      {actions && (
        <div className={styles.actions}>
          {group.dismissal_id ? (
            <Button disabled={busy} onClick={actions.restore}>
              <Trans>They are duplicates after all</Trans>
            </Button>
          ) : (
            <>
              <Button disabled={busy} onClick={actions.deleteOthers}>
                <Plural value={others.length} one="Delete the other" other="Delete the other #" />
                <span className={styles.freed}>{freed}</span>
              </Button>
              <Button kind="quiet" disabled={busy} onClick={actions.dismiss}>
                <Trans>These are no duplicates</Trans>
              </Button>
            </>
          )}
        </div>
      )}
    </li>
  );
}

interface CandidateProps {
  image: ImageInfo;
  /** Of the radio buttons. */
  name: string;
  stays: boolean;
  turned: boolean;
  /** Why we suggest it, if we do. */
  why: React.ReactNode;
  onKeep: (() => void) | null;
}

function Candidate({ image, name, stays, turned, why, onKeep }: CandidateProps) {
  const { i18n } = useLingui();
  const { image_id: id, object_key: key, width, height } = image;
  const file = key.slice(key.lastIndexOf("/") + 1);
  return (
    <figure className={styles.candidate} data-stays={stays || undefined}>
      <Link href={picturePath(id)} className={styles.picture}>
        <img
          src={thumbnail(id, { large: true, version: versionOf(image.thumbnail_url) })}
          alt={image.caption ?? file}
          width={width}
          height={height}
          loading="lazy"
          decoding="async"
        />
      </Link>
      <figcaption className={styles.about}>
        {onKeep ? (
          <label className={styles.keep}>
            <input type="radio" name={name} checked={stays} onChange={onKeep} />
            {stays ? <Trans>Stays</Trans> : <Trans>Keep this one</Trans>}
          </label>
        ) : (
          stays && (
            <strong>
              <Trans>Suggested</Trans>
            </strong>
          )
        )}
        {why && <span className={styles.why}>{why}</span>}
        <span className={styles.file} title={key}>
          {file}
        </span>
        <span className={styles.soft}>
          {image.folder && <>{image.folder} · </>}
          {width} × {height} · {bytesText(image.size_bytes, i18n.locale)} ·{" "}
          {i18n.date(image.date, { dateStyle: "medium" })}
          {turned && (
            <>
              {" · "}
              <Trans>flipped or turned</Trans>
            </>
          )}
        </span>
      </figcaption>
    </figure>
  );
}

function Why({ reason }: { reason: Schemas["Reason"] }) {
  switch (reason) {
    case "resolution":
      return <Trans>has the most pixels</Trans>;
    case "size":
      return <Trans>has the largest file</Trans>;
    case "date":
      return <Trans>is the oldest</Trans>;
    case "name":
      return <Trans>has the simplest name</Trans>;
  }
}
