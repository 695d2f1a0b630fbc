import { Trans } from "@lingui/react/macro";
import { Link } from "wouter";
import { EmptyState } from "../parts/empty-state";

export function NotFound() {
  return (
    <EmptyState title={<Trans>There is nothing at this address</Trans>}>
      <p>
        <Link href="/">
          <Trans>Go to the search</Trans>
        </Link>
      </p>
    </EmptyState>
  );
}
