import { Trans, useLingui } from "@lingui/react/macro";
import { parseAsString, parseAsStringLiteral, useQueryStates } from "nuqs";
import { useState } from "react";
import { useReadOnly } from "../../api/use-read-only";
import { EmptyState } from "../../parts/empty-state";
import { Field } from "../../parts/field";
import { FolderField } from "../../parts/folder-field";
import { TabLinks } from "../../parts/tab-links";
import styles from "./add.module.css";
import { ByAddress } from "./by-address";
import { joined } from "./dropped";
import { FromDevice } from "./from-device";
import { FromWeb } from "./from-web";
import { ImportList } from "./import-list";
import { UploadList } from "./upload-list";
import type { Target } from "./upload-queue";

const PLACES = ["device", "addresses", "web"] as const;
type Place = (typeof PLACES)[number];

const tagsOf = (text: string) => [
  ...new Set(
    text
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean),
  ),
];

/** Pictures from this device, by their addresses, or from a search of the web. */
export function AddPage() {
  const { t } = useLingui();
  const readOnly = useReadOnly();
  const [{ from, folder }, change] = useQueryStates({
    from: parseAsStringLiteral(PLACES).withDefault("device"),
    folder: parseAsString.withDefault(""),
  });
  const [tags, setTags] = useState("");
  const target: Target = { folder: joined(folder, ""), tags: tagsOf(tags) };

  const pathOf = (place: Place) => {
    const parameters = new URLSearchParams({ ...(place !== "device" && { from: place }), ...(folder && { folder }) });
    return `/library/add${parameters.size ? `?${parameters}` : ""}`;
  };
  const link = (place: Place, name: React.ReactNode) => ({ to: pathOf(place), name, here: from === place });
  if (readOnly) return <ReadOnly />;
  return (
    <div className={styles.page}>
      <h1>
        <Trans>Add pictures</Trans>
      </h1>
      <div className={styles.target}>
        <FolderField
          label={t`Into the folder`}
          hint={<Trans>A new name makes a new folder, nature/beach one inside of another.</Trans>}
          value={folder}
          onChange={(value) => void change({ folder: value })}
        />
        {from !== "web" && (
          <Field label={t`Tags`} hint={<Trans>With commas between them. They can be searched.</Trans>}>
            <input autoComplete="off" value={tags} onChange={(event) => setTags(event.target.value)} />
          </Field>
        )}
      </div>
      <TabLinks
        label={t`Where from`}
        links={[
          link("device", <Trans>From this device</Trans>),
          link("addresses", <Trans>By address</Trans>),
          link("web", <Trans>From a web search</Trans>),
        ]}
      />
      {from === "device" && <FromDevice target={target} />}
      {from === "addresses" && <ByAddress target={target} />}
      {from === "web" && <FromWeb folder={target.folder} />}
      <UploadList />
      <ImportList />
    </div>
  );
}

function ReadOnly() {
  return (
    <EmptyState title={<Trans>Pictures can't be added here</Trans>}>
      <p>
        <Trans>
          This service is set to read-only (READ_ONLY). Put pictures into its storage, then start an index run: it finds
          them there.
        </Trans>
      </p>
    </EmptyState>
  );
}
