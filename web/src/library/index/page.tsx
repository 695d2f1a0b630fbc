import { Trans } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { libraryChanged } from "../../api/changes";
import { answer, api } from "../../api/client";
import { isServiceError, messageOf } from "../../api/problems";
import { Button } from "../../parts/button";
import { Dialog, DialogActions } from "../../parts/dialog";
import { LoadFailure } from "../../parts/load-failure";
import styles from "./index.module.css";
import { busyJob, forgetJob, isRunning, type Options, useJob, useStart } from "./job";
import { JobPanel } from "./job-panel";
import { State } from "./state";

const LOOK_MS = 15_000;

/** What is in the index, and runs that bring it in step with the pictures. */
export function IndexPage() {
  const index = useQuery({
    queryKey: ["index"],
    queryFn: ({ signal }) => answer(api.GET("/api/v1/index", { signal })),
    refetchInterval: LOOK_MS,
  });
  return (
    <div className={styles.page}>
      <h1>
        <Trans>Index</Trans>
      </h1>
      <p className={styles.soft}>
        <Trans>
          The index is what searches look in. Pictures that are added here are in it at once; an index run finds what
          came, changed or went in the storage by other ways.
        </Trans>
      </p>
      <Runs />
      {index.data ? (
        <State index={index.data} />
      ) : index.isError ? (
        <LoadFailure
          title={<Trans>The state of the index can't be shown</Trans>}
          error={index.error}
          retry={index.refetch}
        />
      ) : (
        <div className={styles.pending} aria-hidden="true" />
      )}
    </div>
  );
}

function Runs() {
  const job = useJob();
  const start = useStart();
  const [asksToRebuild, setAsksToRebuild] = useState(false);
  const running = start.isPending || (job !== null && (job.isPending || isRunning(job.data)));
  const run = (options: Options) => {
    setAsksToRebuild(false);
    start.mutate(options);
  };
  const ended = job?.data?.finished_at;
  useEffect(() => {
    if (ended) void libraryChanged();
  }, [ended]);
  return (
    <section className={styles.runs}>
      <div className={styles.buttons}>
        <Button kind="main" disabled={running} onClick={() => run({})}>
          <Trans>Update the index</Trans>
        </Button>
        <Button disabled={running} onClick={() => run({ captions: true })}>
          <Trans>Describe pictures that have no caption</Trans>
        </Button>
        <Button kind="quiet" disabled={running} onClick={() => setAsksToRebuild(true)}>
          <Trans>Build it anew</Trans>
        </Button>
      </div>
      {start.isError && !busyJob(start.error) && <Refusal error={start.error} />}
      {start.isError && busyJob(start.error) && (
        <p className={styles.notice} role="status">
          <Trans>Another run is going on already; one runs at a time. This is it:</Trans>
        </p>
      )}
      {job?.data && <JobPanel job={job.data} onClose={forgetJob} onShrink={() => run({ allow_shrink: true })} />}
      {job?.isError && (
        <p className={styles.notice} role="alert">
          {isServiceError(job.error, 404) ? (
            <Trans>The service knows nothing more of the last run: it was started anew, or the run is long over.</Trans>
          ) : (
            messageOf(job.error)
          )}
        </p>
      )}
      <Dialog open={asksToRebuild} onClose={() => setAsksToRebuild(false)} title={<Trans>Build the index anew?</Trans>}>
        <p>
          <Trans>
            Every picture is read and embedded again, which takes as long as the first run. Searches go on with the old
            index meanwhile. It is needed after another model was set; captions and tags that people wrote stay.
          </Trans>
        </p>
        <DialogActions>
          <Button onClick={() => setAsksToRebuild(false)}>
            <Trans>Leave it</Trans>
          </Button>
          <Button kind="main" onClick={() => run({ rebuild: true })}>
            <Trans>Build it anew</Trans>
          </Button>
        </DialogActions>
      </Dialog>
    </section>
  );
}

function Refusal({ error }: { error: unknown }) {
  return (
    <div className={styles.notice} role="alert">
      {isServiceError(error, 501) ? (
        <>
          <p>
            <strong>
              <Trans>This service has no model that writes captions.</Trans>
            </strong>
          </p>
          <p>
            <Trans>
              The person who runs it can name one with the setting CAPTION_MODEL: <code>demo</code> for drawings,{" "}
              <code>Salesforce/blip-image-captioning-base</code> for photographs. You can write captions yourself on the
              page of a picture.
            </Trans>
          </p>
        </>
      ) : isServiceError(error, 403) ? (
        <p>
          <Trans>Your key does not allow index runs. Ask the person who runs this service.</Trans>
        </p>
      ) : (
        <p>{messageOf(error)}</p>
      )}
    </div>
  );
}
