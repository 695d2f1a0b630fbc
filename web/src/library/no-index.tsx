import { Trans } from "@lingui/react/macro";
import { Link } from "wouter";
import { isServiceError } from "../api/problems";
import { useReadOnly } from "../api/use-read-only";
import buttonStyles from "../parts/button.module.css";
import { EmptyState } from "../parts/empty-state";

export const isWithoutIndex = (error: unknown) => isServiceError(error, 503) && error.title === "No index yet";

/** Before the first index run or the first picture. */
export function NoIndex() {
  const readOnly = useReadOnly();
  return (
    <EmptyState
      title={<Trans>There is no index yet</Trans>}
      action={
        <>
          {!readOnly && (
            <Link href="/library/add" className={`${buttonStyles.button} ${buttonStyles.main}`}>
              <Trans>Add pictures</Trans>
            </Link>
          )}
          <Link href="/library/index" className={buttonStyles.button}>
            <Trans>Look at the index</Trans>
          </Link>
        </>
      }
    >
      <p>
        <Trans>Add the first pictures. Or, if there are some in the storage already, let an index run read them.</Trans>
      </p>
    </EmptyState>
  );
}
