import { Trans } from "@lingui/react/macro";
import { Component, type ReactNode } from "react";
import { messageOf } from "../api/problems";
import { Button } from "../parts/button";
import { EmptyState } from "../parts/empty-state";

interface Props {
  /** Which page is shown: an error ends with its page. */
  page: string;
  children: ReactNode;
}

/** Shows an error of ours in place of the page, and lets the person try again. */
export class ErrorBoundary extends Component<Props, { error: unknown }> {
  state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  componentDidUpdate({ page }: Props) {
    if (this.state.error !== null && page !== this.props.page) this.setState({ error: null });
  }

  render() {
    if (this.state.error === null) return this.props.children;
    return (
      <EmptyState
        title={<Trans>This page failed</Trans>}
        action={
          <Button onClick={() => location.reload()}>
            <Trans>Load it again</Trans>
          </Button>
        }
      >
        <p>
          <Trans>Something in the app went wrong. Your pictures are not affected.</Trans>
        </p>
        <p>
          <code>{messageOf(this.state.error)}</code>
        </p>
      </EmptyState>
    );
  }
}
