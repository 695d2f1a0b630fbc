import { Trans, useLingui } from "@lingui/react/macro";
import { type FormEvent, useState } from "react";
import { Link, useLocation } from "wouter";
import { API, picturePath } from "../api/addresses";
import { request } from "../api/client";
import { authorization } from "../api/key";
import { serviceError } from "../api/problems";
import { Button } from "../parts/button";
import buttonStyles from "../parts/button.module.css";
import { Dialog, DialogActions } from "../parts/dialog";
import { FolderField } from "../parts/folder-field";
import { DownloadIcon, SimilarIcon } from "../parts/icons";
import { Progress } from "../parts/progress";
import { tell, tellFailure } from "../parts/toasts";
import { keepUpload } from "../search/uploads";
import { searchLike, searchPath } from "../search/url";
import { isOver, type Job, shareOf } from "./job";
import styles from "./job-card.module.css";

type Result = Job["results"][number];

const addressOf = (job: Job, { number }: Result) => `${API}/generations/${job.id}/pictures/${number}`;

function useFindSimilar() {
  const [, navigate] = useLocation();
  return async (job: Job, result: Result) => {
    try {
      if (result.image_id) return navigate(searchLike(result.image_id));
      const response = await request(addressOf(job, result), { headers: authorization() });
      if (!response.ok) throw serviceError(response, await response.json().catch(() => null));
      const file = new File([await response.blob()], `${job.prompt.slice(0, 40)}.png`, { type: "image/png" });
      navigate(searchPath({ terms: [{ kind: "upload", value: await keepUpload(file), weight: 1 }] }));
    } catch (error) {
      tellFailure(error);
    }
  };
}

function Results({ job }: { job: Job }) {
  const { t } = useLingui();
  const findSimilar = useFindSimilar();
  return (
    <ul className={styles.results} aria-label={t`Drawn pictures`}>
      {job.results.map((result) => (
        <li key={result.number}>
          <img src={addressOf(job, result)} alt={job.prompt} width={result.width} height={result.height} />
          <div className={styles.actions}>
            <Button onClick={() => void findSimilar(job, result)}>
              <SimilarIcon /> <Trans>Find similar in my library</Trans>
            </Button>
            <a
              href={addressOf(job, result)}
              download={`${job.prompt.slice(0, 40)} ${result.seed}.png`}
              className={buttonStyles.button}
            >
              <DownloadIcon /> <Trans>Download</Trans>
            </a>
            {result.image_id && (
              <Link href={picturePath(result.image_id)} className={buttonStyles.button}>
                <Trans>In the library</Trans>
              </Link>
            )}
          </div>
          {result.save_error && <p className={styles.failed}>{result.save_error}</p>}
        </li>
      ))}
    </ul>
  );
}

function Running({ job, onCancel }: { job: Job; onCancel: () => void }) {
  const { t } = useLingui();
  const { state, progress } = job;
  const said = () => {
    if (state === "queued") return t`Waiting for its turn`;
    if (progress.phase === "loading") return t`Loading the model`;
    if (progress.phase === "saving") return t`Putting it into the library`;
    return t`Drawing`;
  };
  const detail = progress.step !== null && progress.steps ? `${progress.step} / ${progress.steps}` : undefined;
  return (
    <div className={styles.running}>
      <div className={styles.preview}>
        {progress.preview && <img src={progress.preview} alt={t`How it looks by now`} />}
      </div>
      <div className={styles.bar}>
        <Progress value={shareOf(job)} label={said()} detail={detail} />
        <Button onClick={onCancel}>
          <Trans>Cancel</Trans>
        </Button>
      </div>
    </div>
  );
}

function SaveDialog({
  open,
  onClose,
  onSave,
}: {
  open: boolean;
  onClose: () => void;
  onSave: (folder: string) => Promise<void>;
}) {
  const { t } = useLingui();
  const [folder, setFolder] = useState("generated");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await onSave(folder);
      tell(t`It is in the library now.`);
      onClose();
    } catch (error) {
      tellFailure(error);
    }
  };
  return (
    <Dialog open={open} onClose={onClose} title={<Trans>Put it into the library</Trans>}>
      <form onSubmit={(event) => void submit(event)} className={styles.save}>
        <FolderField label={t`Folder`} value={folder} onChange={setFolder} />
        <DialogActions>
          <Button onClick={onClose}>
            <Trans>Cancel</Trans>
          </Button>
          <Button kind="main" type="submit">
            <Trans>Put it there</Trans>
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

interface Props {
  job: Job;
  onCancel: () => void;
  onSave: (folder: string) => Promise<void>;
  onAgain: () => void;
}

/** One job: how far it is, and what it has drawn. */
export function JobCard({ job, onCancel, onSave, onAgain }: Props) {
  const [saving, setSaving] = useState(false);
  const over = isOver(job);
  const unsaved = job.results.some((each) => !each.image_id);
  return (
    <article className={styles.card} aria-busy={!over}>
      <h2>{job.prompt}</h2>
      {!over && <Running job={job} onCancel={onCancel} />}
      {job.state === "failed" && (
        <p className={styles.failed} role="alert">
          <Trans>It failed: {job.error}</Trans>
        </p>
      )}
      {job.state === "cancelled" && (
        <p>
          <Trans>It was cancelled.</Trans>
        </p>
      )}
      <Results job={job} />
      {over && (
        <div className={styles.actions}>
          {job.results.length > 0 && unsaved && (
            <Button onClick={() => setSaving(true)}>
              <Trans>Put it into the library</Trans>
            </Button>
          )}
          <Button kind="quiet" onClick={onAgain}>
            <Trans>Draw it once more</Trans>
          </Button>
        </div>
      )}
      <SaveDialog open={saving} onClose={() => setSaving(false)} onSave={onSave} />
    </article>
  );
}
