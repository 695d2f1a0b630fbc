import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "wouter";
import { picturePath, thumbnail } from "../../api/addresses";
import { libraryChanged } from "../../api/changes";
import { answer, api, type ImageInfo } from "../../api/client";
import { isServiceError, messageOf } from "../../api/problems";
import { Button } from "../../parts/button";
import { CloseIcon } from "../../parts/icons";
import { Progress } from "../../parts/progress";
import { tellFailure } from "../../parts/toasts";
import { browsePath } from "../browse/state";
import styles from "./add.module.css";
import { cancelImport, type ImportedItem, type ImportInfo } from "./follow";
import { Licence } from "./licence";
import { forgetImport, useStartedImports } from "./started-imports";

const POLL_MS = 1000;
const MOST_SOURCES = 500;

/** The web searches whose pictures this tab adds. */
export function ImportList() {
  const ids = useStartedImports();
  return ids.map((id) => <Import key={id} id={id} />);
}

function useImport(id: string) {
  return useQuery({
    queryKey: ["import", id],
    queryFn: ({ signal }) =>
      answer(api.GET("/api/v1/images/import/{import_id}", { params: { path: { import_id: id } }, signal })),
    refetchInterval: ({ state }) => (state.error || (state.data && state.data.state !== "running") ? false : POLL_MS),
  });
}

function useCancelling(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => cancelImport(id),
    onSuccess: (job) => queries.setQueryData(["import", id], job),
    onError: tellFailure,
  });
}

/** What is known of the pictures that an import has added, by their ids. */
function useSources(job: ImportInfo | undefined): Map<string, ImageInfo> {
  const added = job?.counts.added ?? 0;
  const { data } = useQuery({
    queryKey: ["images", "of import", job?.id, added],
    queryFn: async () => {
      const folder = job?.folder ? { folder: [job.folder] } : {};
      const query = { ...folder, added_from: job?.created_at ?? null, limit: MOST_SOURCES };
      return answer(api.GET("/api/v1/images", { params: { query } }));
    },
    enabled: added > 0,
    placeholderData: (before) => before,
  });
  return new Map(data?.images.map((each) => [each.image_id, each]));
}

function Import({ id }: { id: string }) {
  const { t } = useLingui();
  const { data: job, error } = useImport(id);
  const cancelling = useCancelling(id);
  const sources = useSources(job);
  const over = job !== undefined && job.state !== "running";
  useEffect(() => {
    if (over) void libraryChanged();
  }, [over]);
  if (error) {
    return (
      <section className={styles.uploads}>
        <p role="alert">
          {isServiceError(error, 404) ? (
            <Trans>The service knows nothing more of this import: it was started anew.</Trans>
          ) : (
            messageOf(error)
          )}
        </p>
        <Button onClick={() => forgetImport(id)}>
          <Trans>Forget it</Trans>
        </Button>
      </section>
    );
  }
  if (!job) return null;
  const { counts, total, folder } = job;
  const done = (total ?? 0) - counts.waiting;
  const title = job.query ?? "";
  return (
    <section className={styles.uploads} aria-label={t`Import: ${title}`}>
      <Progress
        value={total ? done / total : over ? 1 : null}
        label={<strong>{title}</strong>}
        detail={total === null ? <Trans>looking on the web</Trans> : <Counts counts={counts} />}
      />
      {job.error && (
        <p role="alert" className={styles.alert}>
          {job.error}
        </p>
      )}
      {job.state === "done" && total === 0 && (
        <p>
          <Trans>The web search found no picture. Try other words.</Trans>
        </p>
      )}
      {job.state === "running" && (
        <div className={styles.buttons}>
          <Button onClick={() => cancelling.mutate()} disabled={cancelling.isPending}>
            <Trans>Cancel</Trans>
          </Button>
          <p className={styles.soft}>
            <Trans>It goes on when you leave this page. If you cancel it, the pictures that are added stay.</Trans>
          </p>
        </div>
      )}
      {job.state === "cancelled" && (
        <p>
          <Trans>It was cancelled. The pictures that were added before are in the library.</Trans>
        </p>
      )}
      <ul className={styles.list}>
        {job.items?.map((item) => (
          <Item key={item.name} item={item} info={sources.get(item.image_id ?? "")} />
        ))}
      </ul>
      {over && (
        <div className={styles.buttons}>
          {counts.added + counts.present > 0 && (
            <Link href={browsePath("/library", { folder, sort: "added" })} className={styles.open}>
              <Trans>Show them in the library</Trans>
            </Link>
          )}
          <Button kind="quiet" icon aria-label={t`Take it off the list`} onClick={() => forgetImport(id)}>
            <CloseIcon />
          </Button>
        </div>
      )}
    </section>
  );
}

function Counts({ counts }: { counts: ImportInfo["counts"] }) {
  const failed = counts.refused + counts.failed + counts.left;
  return (
    <>
      <Plural value={counts.added} one="# added" other="# added" />
      {counts.present > 0 && (
        <>
          {", "}
          <Plural value={counts.present} one="# was there" other="# were there" />
        </>
      )}
      {failed > 0 && (
        <>
          {", "}
          <Plural value={failed} one="# not" other="# not" />
        </>
      )}
    </>
  );
}

function Item({ item, info }: { item: ImportedItem; info: ImageInfo | undefined }) {
  const { image_id: id, outcome } = item;
  const failed = outcome === "refused" || outcome === "failed" || outcome === "left";
  return (
    <li className={styles.upload} data-state={failed ? "failed" : outcome}>
      {id ? (
        <img className={styles.preview} src={thumbnail(id)} alt="" loading="lazy" />
      ) : (
        <span className={styles.preview} />
      )}
      <div className={styles.what}>
        <span className={styles.name}>{info?.source?.title ?? item.object_key ?? item.name}</span>
        <span className={styles.state}>
          {outcome === "waiting" && <Trans>waits</Trans>}
          {outcome === "present" && <Trans>was in this folder already</Trans>}
          {failed && item.reason}
          {info?.source && <Licence source={info.source} />}
        </span>
      </div>
      {id && (
        <Link href={picturePath(id)} className={styles.open}>
          <Trans>Open</Trans>
        </Link>
      )}
    </li>
  );
}
