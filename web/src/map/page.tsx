import { Trans, useLingui } from "@lingui/react/macro";
import { type ReactNode, useEffect } from "react";
import { Link } from "wouter";
import { EmptyState } from "../parts/empty-state";
import { LoadFailure } from "../parts/load-failure";
import { Progress } from "../parts/progress";
import { canDraw } from "./drawing/picture-layer";
import { MapView } from "./map-view";
import styles from "./page.module.css";
import { useMap } from "./queries";

const isDrawable = canDraw();

/** The whole library as a map: pictures that look alike lie together. */
export default function MapPage() {
  const { t } = useLingui();
  const map = useMap();
  useEffect(() => {
    document.title = t`Map – image2search`;
  }, [t]);
  if (!isDrawable) return <CannotDraw />;
  if (map.data?.ids.length) {
    return (
      <Titled>
        <MapView map={map.data} />
      </Titled>
    );
  }
  if (map.data) return <Empty />;
  if (map.error) {
    return <LoadFailure title={<Trans>The map can't be shown</Trans>} error={map.error} retry={map.refetch} />;
  }
  return (
    <Titled>
      <div className={styles.pending}>
        <Progress value={null} label={<Trans>The map is being laid out</Trans>} />
      </div>
    </Titled>
  );
}

function Titled({ children }: { children: ReactNode }) {
  return (
    <>
      <h1 className="visually-hidden">
        <Trans>Map of the library</Trans>
      </h1>
      {children}
    </>
  );
}

function CannotDraw() {
  return (
    <EmptyState title={<Trans>This browser can't draw the map</Trans>}>
      <p>
        <Trans>
          The map needs WebGL2, which is missing here or switched off. Another browser, or hardware acceleration in the
          settings of this one, may help.
        </Trans>
      </p>
      <p>
        <Link href="/library">
          <Trans>All pictures are in the library, too.</Trans>
        </Link>
      </p>
    </EmptyState>
  );
}

function Empty() {
  return (
    <EmptyState title={<Trans>There is nothing to map yet</Trans>}>
      <p>
        <Link href="/library/add">
          <Trans>Add some pictures</Trans>
        </Link>
      </p>
    </EmptyState>
  );
}
