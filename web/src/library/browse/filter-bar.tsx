import { Trans, useLingui } from "@lingui/react/macro";
import { type FormEvent, useState } from "react";
import { Button } from "../../parts/button";
import buttonStyles from "../../parts/button.module.css";
import { Field } from "../../parts/field";
import { CloseIcon, PlusIcon } from "../../parts/icons";
import { Popup } from "../../parts/popup";
import styles from "./browse.module.css";
import {
  type Browsing,
  type ChangeBrowsing,
  FORMATS,
  filterCount,
  NO_FILTERS,
  SORT_NAMES,
  type SortName,
} from "./state";

interface Props {
  browsing: Browsing;
  change: ChangeBrowsing;
  /** Tags to suggest. */
  tags: readonly string[];
}

/** How the pictures are sorted, and which of them are shown. */
export function FilterBar({ browsing, change, tags }: Props) {
  const { t } = useLingui();
  const count = filterCount(browsing);
  const filter = count ? t`Filter (${count})` : t`Filter`;
  const names: Record<SortName, string> = {
    name: t`By name`,
    newest: t`Newest first`,
    oldest: t`Oldest first`,
    added: t`Last added first`,
  };
  return (
    <div className={styles.filters}>
      <Popup name={filter} button={filter} className={buttonStyles.button}>
        <Filters browsing={browsing} change={change} tags={tags} />
      </Popup>
      <select
        className={styles.sort}
        aria-label={t`Order`}
        value={browsing.sort}
        onChange={(event) => void change({ sort: event.target.value as SortName })}
      >
        {SORT_NAMES.map((each) => (
          <option key={each} value={each}>
            {names[each]}
          </option>
        ))}
      </select>
      <ActiveFilters browsing={browsing} change={change} />
    </div>
  );
}

function Filters({ browsing, change, tags }: Props) {
  const { t } = useLingui();
  const [tag, setTag] = useState("");
  const addTag = (event: FormEvent) => {
    event.preventDefault();
    const added = tag.trim().toLocaleLowerCase();
    if (added && !browsing.tag.includes(added)) void change({ tag: [...browsing.tag, added] });
    setTag("");
  };
  return (
    <div className={styles.filterForm}>
      <form onSubmit={addTag} className={styles.tagEntry}>
        <Field label={t`Tag`}>
          <input list="library-tags" autoComplete="off" value={tag} onChange={(event) => setTag(event.target.value)} />
        </Field>
        <datalist id="library-tags">
          {tags.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
        <Button type="submit" icon aria-label={t`Show only pictures with this tag`}>
          <PlusIcon />
        </Button>
      </form>
      <Field label={t`Format`}>
        <select
          value={browsing.format ?? ""}
          onChange={(event) => void change({ format: FORMATS.find((each) => each === event.target.value) ?? null })}
        >
          <option value="">{t`Any`}</option>
          {FORMATS.map((each) => (
            <option key={each} value={each}>
              {formatName(each)}
            </option>
          ))}
        </select>
      </Field>
      <Field label={t`From`}>
        <input
          type="date"
          value={browsing.from ?? ""}
          onChange={(event) => void change({ from: event.target.value || null })}
        />
      </Field>
      <Field label={t`To`}>
        <input
          type="date"
          value={browsing.to ?? ""}
          onChange={(event) => void change({ to: event.target.value || null })}
        />
      </Field>
      <p className={styles.note}>
        <Trans>The day on which a picture was taken, or else its file last changed.</Trans>
      </p>
    </div>
  );
}

const formatName = (format: (typeof FORMATS)[number]) => (format === "camera raw" ? "RAW" : format.toUpperCase());

function ActiveFilters({ browsing, change }: Pick<Props, "browsing" | "change">) {
  const { t } = useLingui();
  const { tag, format, from, to } = browsing;
  if (!filterCount(browsing)) return null;
  return (
    <ul className={styles.chips} aria-label={t`Filters`}>
      {tag.map((each) => (
        <Chip
          key={each}
          text={t`tag: ${each}`}
          onRemove={() => void change({ tag: tag.filter((other) => other !== each) })}
        />
      ))}
      {format && <Chip text={formatName(format)} onRemove={() => void change({ format: null })} />}
      {from && <Chip text={t`from ${from}`} onRemove={() => void change({ from: null })} />}
      {to && <Chip text={t`to ${to}`} onRemove={() => void change({ to: null })} />}
      <li>
        <Button kind="quiet" onClick={() => void change(NO_FILTERS)}>
          <Trans>Show all</Trans>
        </Button>
      </li>
    </ul>
  );
}

function Chip({ text, onRemove }: { text: string; onRemove: () => void }) {
  const { t } = useLingui();
  return (
    <li className={styles.chip}>
      {text}
      <button type="button" onClick={onRemove} aria-label={t`Remove the filter “${text}”`}>
        <CloseIcon />
      </button>
    </li>
  );
}
