import { Plural, Trans, useLingui } from "@lingui/react/macro";
import type { ReactNode } from "react";
import { Button } from "../../parts/button";
import { CloseIcon } from "../../parts/icons";
import { Progress } from "../../parts/progress";
import styles from "./index.module.css";
import { isRunning, type JobInfo, type Report, readReport, refusedToShrink, type Unindexed } from "./job";

interface Props {
  job: JobInfo;
  onClose: () => void;
  /** Runs again and removes what is gone, however much it is. */
  onShrink: () => void;
}

/** A run while it goes on, and what it did. */
export function JobPanel({ job, onClose, onShrink }: Props) {
  const { t } = useLingui();
  if (isRunning(job)) return <Running job={job} />;
  const report = job.report && readReport(job.report);
  return (
    <section className={styles.job} aria-label={t`The last run`} data-state={job.state}>
      <header className={styles.jobHead}>
        <div role="status">
          <h2>{job.state === "failed" ? <Trans>The run failed</Trans> : <Trans>The run is done</Trans>}</h2>
        </div>
        <Button kind="quiet" icon onClick={onClose} aria-label={t`Close the report`}>
          <CloseIcon />
        </Button>
      </header>
      {job.error && <Failure error={job.error} onShrink={onShrink} />}
      {report && <WhatItDid report={report} />}
    </section>
  );
}

function Failure({ error, onShrink }: { error: string; onShrink: () => void }) {
  if (!refusedToShrink(error)) return <p>{error}</p>;
  return (
    <>
      <p>
        <Trans>
          Many or all of the pictures are gone from the storage, or can't be read there any more. So nothing was
          removed. Is the disk mounted, and the storage the right one?
        </Trans>
      </p>
      <details className={styles.names}>
        <summary>
          <Trans>What the run says</Trans>
        </summary>
        <p>{error}</p>
      </details>
      <div>
        <Button kind="danger" onClick={onShrink}>
          <Trans>They were meant to go: run again without them</Trans>
        </Button>
      </div>
    </>
  );
}

function Running({ job: { progress } }: { job: JobInfo }) {
  const { t } = useLingui();
  const phases: Record<string, string> = {
    listing: t`Looking through the storage`,
    "loading the model": t`Loading the model`,
    "loading the captioner": t`Loading the model that writes captions`,
    indexing: t`Reading and embedding pictures`,
    captioning: t`Describing pictures`,
    publishing: t`Publishing the index`,
    "checking the ranking": t`Checking how well captions find their pictures`,
    folding: t`Tidying up the index`,
  };
  const { phase = "", done = null, total = null } = progress ?? {};
  const name = progress ? (phases[phase] ?? phase) : t`Starting`;
  return (
    <div className={styles.job}>
      <Progress
        value={total && done !== null ? done / total : null}
        label={name}
        detail={total ? `${done} / ${total}` : done ? `${done}` : undefined}
      />
      <p className={styles.soft}>
        <Trans>Searches go on meanwhile. You may leave this page.</Trans>
      </p>
    </div>
  );
}

function WhatItDid({ report }: { report: Report }) {
  const { i18n } = useLingui();
  const { added, changed, removed, unchanged, moved, captioned, left, tookS } = report;
  const took = i18n.number(tookS, {
    style: "unit",
    unit: "second",
    unitDisplay: "long",
    maximumFractionDigits: tookS < 10 ? 1 : 0,
  });
  const nothing = !added && !changed && !removed && !captioned;
  return (
    <>
      {nothing && (
        <p>
          <Trans>Nothing had changed.</Trans>
        </p>
      )}
      <dl className={styles.numbers}>
        <Count value={added} name={<Trans>added</Trans>} />
        <Count value={changed} name={<Trans>changed</Trans>} />
        <Count value={removed} name={<Trans>removed</Trans>} />
        <Count value={moved} name={<Trans>of them moved</Trans>} />
        <Count value={captioned} name={<Trans>described</Trans>} />
        <Count value={unchanged} name={<Trans>as they were</Trans>} />
      </dl>
      {left > 0 && (
        <p>
          <Plural
            value={left}
            one="# picture was not reached. The next run goes on with it."
            other="# pictures were not reached. The next run goes on with them."
          />
        </p>
      )}
      <Names pictures={report.skipped} title={<Trans>Passed over, because they can't be read</Trans>} />
      <Names pictures={report.failed} title={<Trans>Failed; the next run tries them again</Trans>} />
      <Names pictures={report.damaged} title={<Trans>Indexed although their files are damaged</Trans>} />
      <Names pictures={report.captionFailed} title={<Trans>Could not be described</Trans>} />
      <p className={styles.soft}>
        <Trans>It took {took}.</Trans>
      </p>
    </>
  );
}

function Count({ value, name }: { value: number; name: ReactNode }) {
  if (!value) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const MOST = 100;

function Names({ pictures, title }: { pictures: readonly Unindexed[]; title: ReactNode }) {
  if (!pictures.length) return null;
  const left = pictures.length - MOST;
  return (
    <details className={styles.names}>
      <summary>
        {title} ({pictures.length})
      </summary>
      <ul>
        {pictures.slice(0, MOST).map(({ key, reason }) => (
          <li key={key}>
            <code>{key}</code> <span className={styles.soft}>{reason}</span>
          </li>
        ))}
      </ul>
      {left > 0 && (
        <p className={styles.soft}>
          <Plural value={left} one="and # more" other="and # more" />
        </p>
      )}
    </details>
  );
}
