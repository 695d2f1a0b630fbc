import { type RefObject, useRef, useState } from "react";
import { type Camera, type Point, type Size, toScreen } from "./engine/camera";
import type { MapEngine } from "./engine/engine";
import { extended } from "./engine/lasso";

interface Lasso {
  /** Whether hands draw instead of moving the map. */
  isOn: boolean;
  turn: (on: boolean) => void;
  /** The polygon so far, drawn by the frames of the map. */
  line: RefObject<SVGPolygonElement | null>;
  draw: (engine: MapEngine, at: Point) => void;
  /** Ends the drawing; the pictures inside. */
  end: (engine: MapEngine) => number[];
  onFrame: (camera: Camera, view: Size) => void;
}

/** A line drawn by hand around pictures. It is kept in the coordinates of the map, which may be zoomed meanwhile. */
export function useLasso(): Lasso {
  const [isOn, turn] = useState(false);
  const line = useRef<SVGPolygonElement | null>(null);
  const path = useRef<readonly Point[]>([]);
  const screenPath = useRef<readonly Point[]>([]);

  return {
    isOn,
    turn,
    line,
    draw(engine, at) {
      const longer = extended(screenPath.current, at);
      if (longer === screenPath.current) return;
      screenPath.current = longer;
      path.current = [...path.current, engine.worldAt(at)];
      engine.draw();
    },
    end(engine) {
      const inside = engine.picturesInside(path.current);
      path.current = [];
      screenPath.current = [];
      engine.draw();
      return inside;
    },
    onFrame(camera, view) {
      const points = path.current.map((each) => toScreen(camera, view, each));
      const text = points.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
      if (line.current && line.current.getAttribute("points") !== text) line.current.setAttribute("points", text);
    },
  };
}
