import { Plural, Trans } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { messageOf } from "../api/problems";
import { Button } from "../parts/button";
import { Dialog, DialogActions } from "../parts/dialog";
import { Progress } from "../parts/progress";
import { countOf, type Deleted, type Meant } from "./deletion";
import { useDeletion } from "./use-deletion";

interface Props {
  /** What to delete; null: the dialog is closed. */
  meant: Meant | null;
  onClose: () => void;
  onDeleted?: (deleted: Deleted) => void;
  /** More to say before a person agrees. */
  children?: ReactNode;
}

/** Asks before pictures are deleted, with the service's own count of them. It may be closed while the deletion goes on. */
export function DeletionDialog({ meant, onClose, onDeleted, children }: Props) {
  const [asked, setAsked] = useState<Meant | null>(meant);
  useEffect(() => {
    if (meant) setAsked(meant);
  }, [meant]);
  const counted = useQuery({
    queryKey: ["deletion", asked],
    queryFn: () => countOf(asked as Meant),
    enabled: meant !== null,
    gcTime: 0,
    staleTime: 0,
  });
  const { remove, progress } = useDeletion();
  const count = counted.data ?? 0;
  const start = async () => {
    if (!meant) return;
    const deleted = await remove(meant, count);
    onClose();
    if (deleted) onDeleted?.(deleted);
  };
  return (
    <Dialog open={meant !== null} onClose={onClose} title={<Title count={counted.data} />}>
      {counted.isError ? (
        <p role="alert">{messageOf(counted.error)}</p>
      ) : (
        <p>
          <Trans>
            The files are deleted too, not only their places in the search. You can undo it afterwards, unless this
            service is set to keep no trash.
          </Trans>
        </p>
      )}
      {children}
      {progress && (
        <Progress
          value={progress.total ? progress.count / progress.total : null}
          label={<Trans>Deleting</Trans>}
          detail={
            <Trans>
              {progress.count} of {progress.total}
            </Trans>
          }
        />
      )}
      <DialogActions>
        <Button onClick={onClose}>
          {progress ? <Trans>Close, and let it go on</Trans> : <Trans>Keep them</Trans>}
        </Button>
        <Button kind="danger" disabled={!count || progress !== null} onClick={() => void start()}>
          {count ? <Plural value={count} one="Delete # picture" other="Delete # pictures" /> : <Trans>Delete</Trans>}
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function Title({ count }: { count: number | undefined }) {
  if (count === undefined) return <Trans>Delete these pictures?</Trans>;
  return (
    <Plural
      value={count}
      _0="There is nothing left to delete"
      one="Delete this picture?"
      other="Delete these # pictures?"
    />
  );
}
