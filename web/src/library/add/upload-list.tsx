import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useEffect, useState, useSyncExternalStore } from "react";
import { Link } from "wouter";
import { picturePath, thumbnail } from "../../api/addresses";
import { Button } from "../../parts/button";
import buttonStyles from "../../parts/button.module.css";
import { LinkIcon } from "../../parts/icons";
import { Progress } from "../../parts/progress";
import { browsePath } from "../browse/state";
import styles from "./add.module.css";
import { uploads } from "./send";
import { isOver, type Upload } from "./upload-queue";

/** A list of thousands would not be read. */
const MOST = 200;
const RANK = { failed: 0, sending: 1, adding: 1, waiting: 3, added: 2, present: 2 };

/** Pictures on their way, and what became of them: first what failed, then what is going on. */
export function UploadList() {
  const { t } = useLingui();
  const all = useSyncExternalStore(uploads.subscribe, uploads.uploads);
  if (!all.length) return null;
  const over = all.filter(isOver).length;
  const shown = all.toSorted((a, b) => RANK[a.state] - RANK[b.state]).slice(0, MOST);
  const left = all.length - shown.length;
  const here = all.find((each) => each.imageId);
  const share = all.reduce((sum, each) => sum + (isOver(each) ? 1 : each.sent * 0.9), 0) / all.length;
  return (
    <section className={styles.uploads} aria-label={t`Pictures on their way`}>
      <Progress
        value={share}
        label={over < all.length ? <Trans>Adding pictures</Trans> : <Ended all={all} />}
        detail={
          <Trans>
            {over} of {all.length}
          </Trans>
        }
      />
      <div className={styles.buttons}>
        {over < all.length && (
          <Button onClick={() => uploads.cancel()}>
            <Trans>Stop</Trans>
          </Button>
        )}
        {all.some((each) => each.state === "failed" && each.mayRetry) && (
          <Button onClick={() => uploads.retry()}>
            <Trans>Try the failed ones again</Trans>
          </Button>
        )}
        {over === all.length && here && (
          <Link href={browsePath("/library", { folder: here.folder, sort: "added" })} className={buttonStyles.button}>
            <Trans>Show them in the library</Trans>
          </Link>
        )}
        {over > 0 && (
          <Button kind="quiet" onClick={() => uploads.clear()}>
            <Trans>Clear the list</Trans>
          </Button>
        )}
      </div>
      <ul className={styles.list}>
        {shown.map((each) => (
          <Row key={each.id} upload={each} />
        ))}
      </ul>
      {left > 0 && (
        <p className={styles.soft}>
          <Plural value={left} one="and # more" other="and # more" />
        </p>
      )}
    </section>
  );
}

function Ended({ all }: { all: readonly Upload[] }) {
  const failed = all.filter((each) => each.state === "failed").length;
  const here = all.length - failed;
  if (!failed) return <Plural value={here} one="# picture is in the library" other="# pictures are in the library" />;
  return (
    <Trans>
      {here} in the library, {failed} not
    </Trans>
  );
}

function Row({ upload }: { upload: Upload }) {
  const { name, state, reason, imageId, folder } = upload;
  return (
    <li className={styles.upload} data-state={state}>
      <Preview upload={upload} />
      <div className={styles.what}>
        <span className={styles.name}>{name}</span>
        <span className={styles.state}>
          <State upload={upload} />
          {state === "failed" && (reason ?? <Trans>The service did not say what became of it.</Trans>)}
        </span>
        {state === "sending" && <progress className={styles.bar} max={1} value={upload.sent} aria-label={name} />}
      </div>
      {imageId && (
        <Link href={picturePath(imageId)} className={styles.open}>
          <Trans>Open</Trans>
        </Link>
      )}
      {state !== "failed" && folder && <span className={styles.folder}>{folder}</span>}
    </li>
  );
}

function State({ upload }: { upload: Upload }) {
  switch (upload.state) {
    case "waiting":
      return <Trans>waits</Trans>;
    case "sending":
      return <Trans>is sent</Trans>;
    case "adding":
      return <Trans>is looked at</Trans>;
    case "added":
      return <Trans>added</Trans>;
    case "present":
      return <Trans>was in this folder already</Trans>;
    case "failed":
      return null;
  }
}

/** From this device while it is on its way, later as the service shows it. Raw files have no preview before. */
function Preview({ upload: { file, imageId } }: { upload: Upload }) {
  const [address, setAddress] = useState<string | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    if (!file || imageId) return;
    const made = URL.createObjectURL(file);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [file, imageId]);
  const src = imageId ? thumbnail(imageId) : address;
  if (!src || (failed && !imageId)) return <span className={styles.preview}>{!file && <LinkIcon />}</span>;
  return (
    <img
      key={src}
      className={styles.preview}
      src={src}
      alt=""
      loading="lazy"
      decoding="async"
      onError={() => setFailed(true)}
    />
  );
}
