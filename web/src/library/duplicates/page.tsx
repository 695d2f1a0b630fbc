import { Trans, useLingui } from "@lingui/react/macro";
import { parseAsBoolean, parseAsStringLiteral, useQueryStates } from "nuqs";
import { LoadFailure } from "../../parts/load-failure";
import { Progress } from "../../parts/progress";
import { TabLinks } from "../../parts/tab-links";
import { isWithoutIndex, NoIndex } from "../no-index";
import type { Kind } from "./choice";
import styles from "./duplicates.module.css";
import { Groups, pathOf } from "./groups";
import { isComparing, useGroups } from "./queries";

const KINDS = ["bytes", "photo", "similar"] as const satisfies Kind[];

/** Groups of duplicates of three kinds: what to keep of each, and the rest to delete. */
export function DuplicatesPage() {
  const { t } = useLingui();
  const [{ kind, dismissed }] = useQueryStates({
    kind: parseAsStringLiteral(KINDS).withDefault("photo"),
    dismissed: parseAsBoolean.withDefault(false),
  });
  const groups = useGroups(kind, dismissed);
  const count = groups.data?.pages[0]?.count;
  const names: Record<Kind, string> = { bytes: t`The same file`, photo: t`The same photo`, similar: t`Very similar` };
  return (
    <div className={styles.page}>
      <h1>{dismissed ? <Trans>Dismissed duplicates</Trans> : <Trans>Duplicates</Trans>}</h1>
      <TabLinks
        label={t`Kinds of duplicates`}
        links={KINDS.map((each) => ({
          to: pathOf(each, dismissed),
          name: names[each],
          here: each === kind,
          count: each === kind ? count : undefined,
        }))}
      />
      <Explanation kind={kind} />
      {isComparing(groups.error) ? (
        <Progress
          value={null}
          label={
            <Trans>The pictures are being compared with each other. This page shows them when that is done.</Trans>
          }
        />
      ) : isWithoutIndex(groups.error) ? (
        <NoIndex />
      ) : groups.isError && !groups.data ? (
        <LoadFailure title={<Trans>The duplicates can't be shown</Trans>} error={groups.error} retry={groups.refetch} />
      ) : groups.isPending ? (
        <Pending />
      ) : (
        <Groups key={`${kind} ${dismissed}`} kind={kind} dismissed={dismissed} groups={groups} />
      )}
    </div>
  );
}

function Explanation({ kind }: { kind: Kind }) {
  return (
    <p className={styles.explanation}>
      {kind === "bytes" && (
        <Trans>Copies of one file, equal to the last byte. Nothing is lost when all but one are deleted.</Trans>
      )}
      {kind === "photo" && (
        <Trans>
          One photo in several files: made smaller, compressed again, cropped a little, framed, flipped or turned. The
          best one is suggested.
        </Trans>
      )}
      {kind === "similar" && (
        <Trans>
          Shots of one burst, or pictures that look very much alike. They are not the same: look before you delete.
        </Trans>
      )}
    </p>
  );
}

function Pending() {
  return (
    <div className={styles.groups} aria-hidden="true">
      {[0, 1, 2].map((each) => (
        <div key={each} className={styles.pending} />
      ))}
    </div>
  );
}
