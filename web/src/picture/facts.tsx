import { Trans, useLingui } from "@lingui/react/macro";
import { Link } from "wouter";
import type { ImageInfo } from "../api/client";
import { bytesText } from "../parts/bytes";
import { Fact } from "../parts/fact";
import styles from "./facts.module.css";

function Attribution({ source }: { source: NonNullable<ImageInfo["source"]> }) {
  return (
    <>
      {source.attribution && <p>{source.attribution}</p>}
      <p className={styles.links}>
        {source.page_url && (
          <a href={source.page_url} rel="noreferrer" target="_blank">
            <Trans>Its page</Trans>
          </a>
        )}
        {source.license_url ? (
          <a href={source.license_url} rel="noreferrer" target="_blank">
            {source.license ?? <Trans>Licence</Trans>}
          </a>
        ) : (
          source.license && !source.attribution && <span>{source.license}</span>
        )}
        <a href={source.url} rel="noreferrer" target="_blank">
          <Trans>Its file on the web</Trans>
        </a>
      </p>
    </>
  );
}

/** What is known of the file, and who made it. */
export function Facts({ image }: { image: ImageInfo }) {
  const { i18n } = useLingui();
  const day = (text: string) => i18n.date(new Date(text), { dateStyle: "medium", timeStyle: "short" });
  const { location, folder } = image;
  return (
    <dl className={styles.facts}>
      <Fact name={<Trans>File</Trans>}>{image.object_key}</Fact>
      <Fact name={<Trans>Folder</Trans>}>
        <Link href={folder ? `/library?folder=${encodeURIComponent(folder)}` : "/library"}>
          {folder || <Trans>the top</Trans>}
        </Link>
      </Fact>
      <Fact name={<Trans>Size</Trans>}>
        {image.width} × {image.height}, {bytesText(image.size_bytes, i18n.locale)}
        {image.format && `, ${image.format}`}
      </Fact>
      {image.taken_at && <Fact name={<Trans>Taken</Trans>}>{day(image.taken_at)}</Fact>}
      <Fact name={<Trans>Changed</Trans>}>{day(image.modified_at)}</Fact>
      {image.added_at && <Fact name={<Trans>Added</Trans>}>{day(image.added_at)}</Fact>}
      {image.camera && <Fact name={<Trans>Camera</Trans>}>{image.camera}</Fact>}
      {location && (
        <Fact name={<Trans>Place</Trans>}>
          {location.latitude.toFixed(4)}, {location.longitude.toFixed(4)}
        </Fact>
      )}
      <Fact name={<Trans>Stored at</Trans>}>
        <code>{image.s3_path}</code>
      </Fact>
      {image.source && (
        <Fact name={<Trans>From the web</Trans>}>
          <Attribution source={image.source} />
        </Fact>
      )}
    </dl>
  );
}
