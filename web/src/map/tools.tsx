import { useLingui } from "@lingui/react/macro";
import { Button } from "../parts/button";
import { LassoIcon, MinusIcon, PictureIcon, PlusIcon } from "../parts/icons";
import type { MapEngine } from "./engine/engine";
import styles from "./tools.module.css";

export const ZOOM_STEP = 1.6;

interface Props {
  engine: MapEngine | null;
  lassoOn: boolean;
  onLasso: (on: boolean) => void;
}

/** Buttons for what wheels, fingers and keys do as well. */
export function Tools({ engine, lassoOn, onLasso }: Props) {
  const { t } = useLingui();
  return (
    <div className={styles.tools} role="toolbar" aria-label={t`Map tools`}>
      <Button
        icon
        aria-pressed={lassoOn}
        aria-label={t`Lasso: draw around pictures to select them`}
        title={t`Lasso (L)`}
        onClick={() => onLasso(!lassoOn)}
      >
        <LassoIcon />
      </Button>
      <Button icon aria-label={t`Nearer`} title={t`Nearer (+)`} onClick={() => engine?.zoom(ZOOM_STEP)}>
        <PlusIcon />
      </Button>
      <Button icon aria-label={t`Farther`} title={t`Farther (−)`} onClick={() => engine?.zoom(1 / ZOOM_STEP)}>
        <MinusIcon />
      </Button>
      <Button icon aria-label={t`Show the whole map`} title={t`The whole map (0)`} onClick={() => engine?.showAll()}>
        <PictureIcon />
      </Button>
    </div>
  );
}
