import { Trans } from "@lingui/react/macro";
import type { Schemas } from "../../api/client";
import styles from "./add.module.css";

/** Whom to name for a picture from the web, under which licence it is, and where it was found. */
export function Licence({ source }: { source: Schemas["SourceInfo"] }) {
  const { creator, license, license_url: licenseUrl, page_url: pageUrl, attribution, url } = source;
  return (
    <span className={styles.licence} title={attribution ?? undefined}>
      {creator && <span>{creator}</span>}
      {license ? (
        licenseUrl ? (
          <a href={licenseUrl} target="_blank" rel="noreferrer license">
            {license}
          </a>
        ) : (
          <span>{license}</span>
        )
      ) : (
        <span>
          <Trans>licence not known</Trans>
        </span>
      )}
      <a href={pageUrl ?? url} target="_blank" rel="noreferrer">
        <Trans>where it is from</Trans>
      </a>
    </span>
  );
}
