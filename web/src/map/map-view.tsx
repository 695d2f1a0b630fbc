import { Trans, useLingui } from "@lingui/react/macro";
import { useQueryState } from "nuqs";
import { useEffect, useEffectEvent, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { picturePath } from "../api/addresses";
import { type Shortcut, useShortcuts } from "../app/shortcuts";
import { Button } from "../parts/button";
import { tellFailure } from "../parts/toasts";
import { selection, useSelection } from "../selection/selection";
import type { Camera, Point, Size } from "./engine/camera";
import type { MapEngine } from "./engine/engine";
import { LabelLayer } from "./engine/label-layer";
import { regionCentre } from "./engine/spread";
import { HotPicture } from "./hot-picture";
import type { MapData } from "./map-data";
import styles from "./map-view.module.css";
import { placeCard, placeOver } from "./placing";
import { useHits, useNumbers } from "./queries";
import { SearchField } from "./search-field";
import { SelectedPanel } from "./selected-panel";
import { Tools, ZOOM_STEP } from "./tools";
import { useEngine } from "./use-engine";
import { useLasso } from "./use-lasso";

/** A picture that is at least so large on the map is not shown larger in a card, pixels. */
const LARGE_PX = 200;
const DOUBLE_CLICK_MS = 230;
const PAN_STEP = 0.25;
/** Hits that "go there" brings into view: the best ones, not the last of a thousand. */
const BEST = 40;

/** Names of the regions over the map. */
function useLabels(engine: MapEngine | null, map: MapData) {
  const place = useRef<HTMLDivElement>(null);
  const layer = useMemo(() => ({ current: null as LabelLayer | null }), []);
  useEffect(() => {
    if (!engine || !place.current) return;
    layer.current = new LabelLayer(place.current, styles.label ?? "");
    layer.current.set(
      map.regions.flatMap((region) =>
        region.name ? [{ text: region.name, count: region.count, ...regionCentre(region, map, engine.spread) }] : [],
      ),
    );
    engine.draw();
  }, [engine, map, layer]);
  return { place, onFrame: (camera: Camera, view: Size) => layer.current?.update(camera, view) };
}

/** Opens a picture, unless a second click follows at once. */
function useOpening() {
  const [, navigate] = useLocation();
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return {
    open(id: string) {
      clearTimeout(timer.current);
      timer.current = window.setTimeout(() => navigate(picturePath(id)), DOUBLE_CLICK_MS);
    },
    cancel: () => clearTimeout(timer.current),
  };
}

/**
 * The map to show. A better layout of the same pictures waits while a person looks at a part of the one that is shown;
 * what else is new (names, pictures that came or went) is shown at once.
 */
function useLatest(latest: MapData, isBusy: (map: MapData) => boolean) {
  const [shown, setShown] = useState(latest);
  const busy = useEffectEvent(isBusy);
  useEffect(() => setShown((now) => (latest.ids === now.ids && busy(latest) ? now : latest)), [latest]);
  return { map: shown, isWaiting: shown !== latest, showLatest: () => setShown(latest) };
}

/** The whole library as pictures that can be zoomed, searched and selected. */
export function MapView({ map: latest }: { map: MapData }) {
  const { t, i18n } = useLingui();
  const [q, setQ] = useQueryState("q", { defaultValue: "" });
  const stage = useRef<HTMLDivElement>(null);
  const link = useRef<HTMLAnchorElement>(null);
  const card = useRef<HTMLElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const [middle, setMiddle] = useState<number | null>(null);
  const pointer = useRef<Point | null>(null);
  const lasso = useLasso();
  const { map, isWaiting, showLatest } = useLatest(
    latest,
    (other) => other.xs !== map.xs && (lasso.isOn || (engine?.place ?? null) !== null),
  );
  const opening = useOpening();
  const numbersOf = useNumbers(map.ids);
  const hits = useHits(q);
  const selected = useSelection();
  const hot = pointed ?? middle;

  const placeHot = (view: Size) => {
    if (!engine || hot === null) return;
    const box = engine.boxOf(hot);
    placeOver(link.current, box);
    placeCard(card.current, box, view);
  };
  const select = (numbers: readonly number[], add: boolean) => {
    const ids = numbers.map((each) => map.ids[each] ?? "");
    if (add) selection.add(ids);
    else selection.set(ids);
  };
  const engine = useEngine(stage, map, {
    onFrame(camera, view) {
      labels.onFrame(camera, view);
      lasso.onFrame(camera, view);
      placeHot(view);
    },
    onRest() {
      if (!engine) return;
      setMiddle(engine.pictureInMiddle());
      setPointed(pointer.current && engine.pictureAt(pointer.current));
    },
    onFailure: tellFailure,
    point(at) {
      pointer.current = at;
      setPointed(at && engine && !lasso.isOn ? engine.pictureAt(at) : null);
    },
    tap(at) {
      const picture = engine?.pictureAt(at);
      if (picture != null) opening.open(map.ids[picture] ?? "");
    },
    isDrawing: () => lasso.isOn,
    draw: (at) => engine && lasso.draw(engine, at),
    endDrawing(done, add) {
      if (!engine) return;
      const inside = lasso.end(engine);
      if (!done || !inside.length) return;
      select(inside, add);
      lasso.turn(false);
    },
  });
  const labels = useLabels(engine, map);

  const hitNumbers = useMemo(() => (q && hits.data ? numbersOf(hits.data.ids) : null), [q, hits.data, numbersOf]);
  useEffect(() => engine?.setHits(hitNumbers), [engine, hitNumbers]);
  useEffect(() => engine?.setSelected(numbersOf(selected)), [engine, selected, numbersOf]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another picture is placed where it is now
  useEffect(() => engine?.draw(), [engine, hot]);
  useKeys(engine, lasso.isOn, lasso.turn);

  const count = i18n.number(map.ids.length);
  return (
    <div className={styles.map} data-lasso={lasso.isOn || undefined}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: zooms as the wheel does; keys and buttons do the same */}
      <div ref={stage} className={styles.stage} onDoubleClick={opening.cancel}>
        <div ref={labels.place} className={styles.labels} aria-hidden="true" lang="en" />
        {hot !== null && (
          <HotPicture
            id={map.ids[hot] ?? ""}
            link={link}
            card={card}
            isPointedAt={pointed !== null && !lasso.isOn}
            showCard={(engine?.camera.scale ?? 0) < LARGE_PX}
            onOpen={opening.open}
            onCard={() => engine?.draw()}
          />
        )}
        <svg className={styles.lasso} aria-hidden="true">
          <polygon ref={lasso.line} />
        </svg>
      </div>
      <div className={styles.top}>
        <SearchField
          text={q}
          onSearch={(text) => void setQ(text || null)}
          hits={hits.data}
          error={hits.error}
          onShow={() => engine?.show((hitNumbers ?? []).slice(0, BEST))}
          onSelect={() => select(hitNumbers ?? [], false)}
        />
        <Tools engine={engine} lassoOn={lasso.isOn} onLasso={lasso.turn} />
      </div>
      {lasso.isOn && (
        <div className={styles.hint} role="status">
          <p>
            <Trans>Draw a line around pictures to select them. With Shift they are added.</Trans>
          </p>
          <Button
            onClick={() => {
              if (engine) select(engine.inView(), false);
              lasso.turn(false);
            }}
          >
            <Trans>Select all in view</Trans>
          </Button>
        </div>
      )}
      <p className={styles.about} role="status" data-hidden={lasso.isOn || selected.size > 0 || undefined}>
        {isWaiting ? (
          <>
            <Trans>A better map is ready.</Trans>{" "}
            <button type="button" onClick={showLatest}>
              <Trans>Show it</Trans>
            </button>
          </>
        ) : map.pending.includes("umap") ? (
          <Trans>{count} pictures. A better map is being worked out.</Trans>
        ) : map.pending.includes("names") ? (
          <Trans>{count} pictures. The names of the regions are coming.</Trans>
        ) : (
          <Trans>{count} pictures. What looks alike lies together.</Trans>
        )}
      </p>
      <p className="visually-hidden">
        {t`Arrow keys move the map, plus and minus zoom. The link leads to the picture in the middle.`}
      </p>
      {!lasso.isOn && <SelectedPanel onShow={() => engine?.show(numbersOf(selected))} />}
    </div>
  );
}

function useKeys(engine: MapEngine | null, lassoOn: boolean, turnLasso: (on: boolean) => void) {
  const { t } = useLingui();
  const pan = (keys: string, x: number, y: number, what: string): Shortcut => ({
    keys,
    what,
    run: () => engine?.pan(x * PAN_STEP, y * PAN_STEP),
  });
  useShortcuts([
    pan("ArrowLeft", -1, 0, t`Move the map left`),
    pan("ArrowRight", 1, 0, t`Move the map right`),
    pan("ArrowUp", 0, -1, t`Move the map up`),
    pan("ArrowDown", 0, 1, t`Move the map down`),
    ...["+", "="].map((keys) => ({ keys, what: t`Nearer`, run: () => engine?.zoom(ZOOM_STEP) })),
    { keys: "-", what: t`Farther`, run: () => engine?.zoom(1 / ZOOM_STEP) },
    { keys: "0", what: t`The whole map`, run: () => engine?.showAll() },
    { keys: "l", what: t`Lasso on or off`, run: () => turnLasso(!lassoOn) },
    // No selection bar is there meanwhile, so Escape keeps what is selected.
    ...(lassoOn ? [{ keys: "Escape", what: t`End the lasso`, run: () => turnLasso(false) }] : []),
  ]);
}
