import { type RefObject, useEffect, useEffectEvent, useRef, useState } from "react";
import { type Events, MapEngine } from "./engine/engine";
import type { MapData } from "./map-data";

/** The engine of a map in an element; null before the element is there. Another map is shown where the last one was. */
export function useEngine(place: RefObject<HTMLElement | null>, map: MapData, events: Events): MapEngine | null {
  const [engine, setEngine] = useState<MapEngine | null>(null);
  const last = useRef<{ id: string; scale: number } | null>(null);
  const onFrame = useEffectEvent(events.onFrame);
  const onRest = useEffectEvent(events.onRest);
  const onFailure = useEffectEvent(events.onFailure);
  const point = useEffectEvent(events.point);
  const tap = useEffectEvent(events.tap);
  const isDrawing = useEffectEvent(events.isDrawing);
  const draw = useEffectEvent(events.draw);
  const endDrawing = useEffectEvent(events.endDrawing);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other names of regions need no other engine
  useEffect(() => {
    if (!place.current) return;
    const picture = last.current ? map.ids.indexOf(last.current.id) : -1;
    const start = last.current && picture >= 0 ? { picture, scale: last.current.scale } : null;
    const hooks: Events = {
      onFrame: (camera, view) => onFrame(camera, view),
      onRest: () => onRest(),
      onFailure: (error) => onFailure(error),
      point: (at) => point(at),
      tap: (at) => tap(at),
      isDrawing: () => isDrawing(),
      draw: (at) => draw(at),
      endDrawing: (done, add) => endDrawing(done, add),
    };
    const made = new MapEngine(place.current, map, hooks, start);
    setEngine(made);
    return () => {
      const now = made.place;
      last.current = now && { id: map.ids[now.picture] ?? "", scale: now.scale };
      made.end();
      setEngine(null);
    };
  }, [map.xs]);
  return engine;
}
