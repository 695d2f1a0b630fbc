import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { isServiceError } from "../api/problems";
import { Button } from "../parts/button";
import { UndoIcon } from "../parts/icons";
import { tell, tellFailure } from "../parts/toasts";
import type { ChangeSearch, Search } from "../search/url";
import { clearMarks, judged, useMarks } from "./marks";
import styles from "./refine-bar.module.css";
import {
  canRefine,
  refine,
  type SessionAnswer,
  type SessionTurn,
  sessionOptions,
  shownOptions,
  undo,
} from "./refining";

/** How many pictures were marked as wanted, and as not. */
function Marked({ pick, reject }: { pick: readonly string[]; reject: readonly string[] }) {
  return (
    <>
      {pick.length > 0 && <Plural value={pick.length} one="more like # picture" other="more like # pictures" />}
      {pick.length > 0 && reject.length > 0 && ", "}
      {reject.length > 0 && <Plural value={reject.length} one="less like # picture" other="less like # pictures" />}
    </>
  );
}

function Turn({ turn }: { turn: SessionTurn }) {
  return (
    <li>
      {turn.said || null}{" "}
      <span className={styles.counts}>
        <Marked pick={turn.picked} reject={turn.rejected} />
      </span>
      {turn.rewritten && (
        <span className={styles.rewritten}>
          <Trans>read as “{turn.rewritten}”</Trans>
        </span>
      )}
    </li>
  );
}

function History({ id, onUndo, busy }: { id: string; onUndo: () => void; busy: boolean }) {
  const { t } = useLingui();
  const session = useQuery(sessionOptions(id));
  const turns = session.data?.turns ?? [];
  return (
    <div className={styles.history}>
      <ol aria-label={t`What you asked for so far`}>
        {turns.map((turn) => (
          <Turn key={turn.turn} turn={turn} />
        ))}
      </ol>
      <Button kind="quiet" onClick={onUndo} disabled={busy || turns.length < 2}>
        <UndoIcon /> <Trans>Undo</Trans>
      </Button>
    </div>
  );
}

function useRefinement(search: Search, change: ChangeSearch) {
  const { t } = useLingui();
  const queries = useQueryClient();
  const show = (id: string, shown: SessionAnswer) => {
    queries.setQueryData(shownOptions(id).queryKey, shown);
    void queries.invalidateQueries({ queryKey: sessionOptions(id).queryKey });
    clearMarks();
    scrollTo({ top: 0 });
    if (search.session !== id) void change({ session: id });
  };
  const failed = (error: unknown) => {
    if (isServiceError(error, 404) && search.session) {
      tell(t`This refinement has ended: it was not used for too long. Here is the search it began with.`);
      void change({ session: null });
    } else tellFailure(error);
  };
  const refining = useMutation({
    mutationFn: (judgement: Parameters<typeof refine>[1]) => refine(search, judgement),
    onSuccess: ({ id, shown }) => show(id, shown),
    onError: failed,
  });
  const undoing = useMutation({
    mutationFn: (id: string) => undo(id).then((shown) => ({ id, shown })),
    onSuccess: ({ id, shown }) => show(id, shown),
    onError: failed,
  });
  return { refining, undoing };
}

/** Says what to change: in words, or by the hits that were marked as good and bad. */
export function RefineBar({ search, change }: { search: Search; change: ChangeSearch }) {
  const { t } = useLingui();
  const [feedback, setFeedback] = useState("");
  const { pick, reject } = judged(useMarks());
  const { refining, undoing } = useRefinement(search, change);
  const busy = refining.isPending || undoing.isPending;
  useEffect(() => clearMarks, []);
  if (!canRefine(search)) return null;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    refining.mutate({ feedback, pick, reject }, { onSuccess: () => setFeedback("") });
  };
  return (
    <section className={styles.bar} aria-label={t`Refine`}>
      {search.session && (
        <History id={search.session} onUndo={() => undoing.mutate(search.session ?? "")} busy={busy} />
      )}
      <form onSubmit={submit} className={styles.form}>
        <label htmlFor="feedback" className="visually-hidden">
          <Trans>What to change</Trans>
        </label>
        <input
          id="feedback"
          value={feedback}
          maxLength={500}
          placeholder={t`Not quite? “without trees”, “more blue sky”`}
          onChange={(event) => setFeedback(event.target.value)}
        />
        {pick.length + reject.length > 0 && (
          <span className={styles.marked}>
            <Marked pick={pick} reject={reject} />
          </span>
        )}
        <Button type="submit" disabled={busy || !(feedback.trim() || pick.length || reject.length)}>
          <Trans>Refine</Trans>
        </Button>
        {search.session && (
          <Button kind="quiet" onClick={() => void change({ session: null })}>
            <Trans>Back to the first search</Trans>
          </Button>
        )}
      </form>
    </section>
  );
}
