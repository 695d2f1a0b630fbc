import { Trans, useLingui } from "@lingui/react/macro";
import { type RefObject, useEffect, useEffectEvent, useLayoutEffect, useState } from "react";
import { Link } from "wouter";
import { picturePath, thumbnail } from "../api/addresses";
import styles from "./hot-picture.module.css";
import { usePicture } from "./queries";

const POINT_MS = 80;

interface Props {
  id: string;
  /** Moved by the frames of the map. */
  link: RefObject<HTMLAnchorElement | null>;
  card: RefObject<HTMLElement | null>;
  /** Pointed at; else it is the one in the middle, for the keyboard. */
  isPointedAt: boolean;
  /** False while the map moves, and for a picture that is large enough as it is. */
  showCard: boolean;
  onOpen: (id: string) => void;
  /** The card shows something else, and is to be placed anew. */
  onCard: () => void;
}

/** The same value, once it has been the same for a moment. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), POINT_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/** A real link over the picture that is pointed at, or over the one in the middle, and a card that shows it larger. */
export function HotPicture({ id, link, card, isPointedAt, showCard, onOpen, onCard }: Props) {
  const { t } = useLingui();
  const [focused, setFocused] = useState(false);
  const settled = useSettled(id);
  const wanted = isPointedAt || focused;
  const { data } = usePicture(wanted ? settled : null);
  const known = data?.image_id === id ? data : null;
  const isShown = wanted && showCard && known !== null;
  const placeCard = useEffectEvent(onCard);
  useLayoutEffect(() => {
    if (isShown && known) placeCard();
  }, [isShown, known]);
  const name = known ? (known.caption ?? known.object_key) : t`Picture in the middle of the map`;
  return (
    <>
      <Link
        ref={link}
        href={picturePath(id)}
        className={styles.link}
        data-pointed={isPointedAt || undefined}
        aria-label={name}
        draggable={false}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onClick={(event) => {
          const { ctrlKey, metaKey, shiftKey, detail } = event;
          // A second click may follow, which zooms. The keyboard's click has no number.
          if (ctrlKey || metaKey || shiftKey || detail === 0) return;
          event.preventDefault();
          if (detail === 1) onOpen(id);
        }}
      />
      <p className="visually-hidden" aria-live="polite">
        {focused && known && <Trans>In the middle: {name}</Trans>}
      </p>
      <figure ref={card} className={styles.card} data-shown={isShown || undefined}>
        {known && (
          <>
            <img
              src={thumbnail(id)}
              alt=""
              style={{ aspectRatio: `${known.width || 1} / ${known.height || 1}` }}
              draggable={false}
            />
            <figcaption>
              {known.caption && <span>{known.caption}</span>}
              <span className={styles.key}>{known.object_key}</span>
            </figcaption>
          </>
        )}
      </figure>
    </>
  );
}
