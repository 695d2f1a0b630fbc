import { Trans } from "@lingui/react/macro";
import type { ReactNode } from "react";
import { messageOf } from "../api/problems";
import { Button } from "./button";
import { EmptyState } from "./empty-state";

/** In place of content that could not be loaded: what went wrong, and a way to try again. */
export function LoadFailure({
  title,
  error,
  retry,
  children,
}: {
  title: ReactNode;
  error: unknown;
  retry: () => unknown;
  children?: ReactNode;
}) {
  return (
    <EmptyState
      title={title}
      action={
        <Button onClick={() => void retry()}>
          <Trans>Try again</Trans>
        </Button>
      }
    >
      <p>{messageOf(error)}</p>
      {children}
    </EmptyState>
  );
}
