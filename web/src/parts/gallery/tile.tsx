import { useLingui } from "@lingui/react/macro";
import { type CSSProperties, type MouseEvent, memo, type ReactNode } from "react";
import { Link } from "wouter";
import { picturePath, thumbnail, versionOf } from "../../api/addresses";
import type { ImageInfo, ImageResult } from "../../api/client";
import { selection, useIsSelected } from "../../selection/selection";
import { CheckIcon } from "../icons";
import styles from "./gallery.module.css";

/** What a tile needs of a picture. `hit`: what the search said of it. */
export interface Picture {
  id: string;
  name: string;
  width: number;
  height: number;
  version: string | null;
  caption: string | null;
  date: string;
  hit?: ImageResult;
}

export function pictureOf(image: ImageResult | ImageInfo): Picture {
  return {
    id: image.image_id,
    name: image.object_key.slice(image.object_key.lastIndexOf("/") + 1),
    width: image.width,
    height: image.height,
    version: versionOf(image.thumbnail_url),
    caption: image.caption ?? null,
    date: image.date,
    ...("score" in image && { hit: image }),
  };
}

interface Props {
  picture: Picture;
  index: number;
  order: readonly string[];
  selectable: boolean;
  overlay?: ((picture: Picture, index: number) => ReactNode) | undefined;
  onOpen?: ((picture: Picture, index: number) => void) | undefined;
  style: CSSProperties;
}

const LARGE_FROM_PX = 300;

/** Links to the picture's page. Ctrl-click selects it, shift-click all from the last selected one to it. */
export const Tile = memo(
  function Tile({ picture, index, order, selectable, overlay, onOpen, style }: Props) {
    const { t } = useLingui();
    const { id } = picture;
    const selected = useIsSelected(id);
    const alt = picture.caption ?? picture.name;

    const select = (event: MouseEvent) => {
      if (event.shiftKey) selection.extendTo(id, order);
      else selection.toggle(id);
    };
    const clickToSelect = (event: MouseEvent) => {
      if (!selectable || !(event.shiftKey || event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      select(event);
    };
    const large = Number(style.width) > LARGE_FROM_PX || Number(style.height) > LARGE_FROM_PX;
    return (
      <li className={styles.tile} style={style} data-selected={selected || undefined}>
        <Link
          href={picturePath(id)}
          onClickCapture={clickToSelect}
          onClick={() => onOpen?.(picture, index)}
          className={styles.link}
          data-index={index}
          data-id={id}
        >
          <img
            src={thumbnail(id, { version: picture.version, large })}
            alt={alt}
            loading="lazy"
            decoding="async"
            draggable={false}
          />
        </Link>
        {overlay && <div className={styles.overlay}>{overlay(picture, index)}</div>}
        {selectable && (
          <button
            type="button"
            role="checkbox"
            aria-checked={selected}
            aria-label={t`Select ${picture.name}`}
            className={styles.tick}
            tabIndex={-1}
            onClick={select}
          >
            <CheckIcon />
          </button>
        )}
      </li>
    );
  },
  (before, after) =>
    before.picture === after.picture &&
    before.index === after.index &&
    before.order === after.order &&
    before.overlay === after.overlay &&
    before.onOpen === after.onOpen &&
    before.style.top === after.style.top &&
    before.style.left === after.style.left &&
    before.style.width === after.style.width &&
    before.style.height === after.style.height,
);
