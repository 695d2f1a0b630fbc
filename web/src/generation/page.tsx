import { Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { answer, api } from "../api/client";
import { isServiceError, ServiceError } from "../api/problems";
import { EmptyState } from "../parts/empty-state";
import { LoadFailure } from "../parts/load-failure";
import { tellFailure } from "../parts/toasts";
import { GenerationForm } from "./form";
import type { Job, Status, Wish } from "./job";
import { JobCard } from "./job-card";
import styles from "./page.module.css";
import { useJobs } from "./use-jobs";

function Off({ reason }: { reason: string | null }) {
  return (
    <EmptyState title={<Trans>Drawing is not set up here</Trans>}>
      <p>{reason}</p>
      <p>
        <Trans>
          With <code>GENERATION_MODEL=demo</code> the service draws with the small model that comes with it; any
          text-to-image pipeline of diffusers works too.
        </Trans>
      </p>
    </EmptyState>
  );
}

function Studio({ status }: { status: Status }) {
  const { t, i18n } = useLingui();
  const { jobs, start, cancel, save } = useJobs();
  const begin = async (wish: Wish) => {
    try {
      await start(wish);
    } catch (error) {
      const wait = isServiceError(error, 503) ? error.retryAfterS : null;
      const seconds = wait && i18n.number(wait, { style: "unit", unit: "second", unitDisplay: "long" });
      tellFailure(
        seconds
          ? new ServiceError(503, "", t`Too many pictures are waiting to be drawn. Try again in ${seconds}.`)
          : error,
      );
    }
  };
  const again = (job: Job) =>
    void begin({
      prompt: job.prompt,
      negative_prompt: job.negative_prompt,
      size: job.width && job.height ? `${job.width}x${job.height}` : null,
      steps: job.steps,
      guidance: job.guidance,
      scheduler: job.scheduler,
      n: job.n,
      ...(job.init_image_id && {
        init: { image_id: job.init_image_id },
        strength: job.strength ?? undefined,
        size: null,
      }),
    });
  return (
    <div className={styles.columns}>
      <GenerationForm status={status} onStart={begin} />
      <section aria-label={t`What was drawn`} className={styles.jobs}>
        {jobs.length === 0 && (
          <p className={styles.none}>
            <Trans>
              What you have drawn shows here. It is kept for {Math.round(status.limits.keep_days)} days, or for good in
              the library.
            </Trans>
          </p>
        )}
        {jobs.map((job) => (
          <JobCard
            key={job.id}
            job={job}
            onCancel={() => void cancel(job)}
            onSave={(folder) => save(job, folder)}
            onAgain={() => again(job)}
          />
        ))}
      </section>
    </div>
  );
}

/** Pictures from words. */
export default function GenerationPage() {
  const { t } = useLingui();
  const { data, error, refetch } = useQuery({
    queryKey: ["generation-status"],
    queryFn: () => answer(api.GET("/api/v1/generations")),
  });
  const title = t`Draw a picture`;
  useEffect(() => {
    document.title = `${title} – image2search`;
  }, [title]);
  return (
    <div className={styles.page}>
      <h1>{title}</h1>
      {error && !data && <LoadFailure title={<Trans>The page can't be shown</Trans>} error={error} retry={refetch} />}
      {!data && !error && <div className={styles.pending} />}
      {data && !data.enabled && <Off reason={data.reason} />}
      {data?.enabled && <Studio status={data} />}
    </div>
  );
}
