import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { selection } from "../../selection/selection";
import styles from "./gallery.module.css";
import { GAP_PX, neighbourInRows, rowHeightFor, rowsOf } from "./rows";
import { type Picture, Tile } from "./tile";

interface Props {
  pictures: readonly Picture[];
  label: string;
  /** Called when the end comes near, where there is more. */
  onNearEnd?: (() => void) | undefined;
  /** What lies over a picture while it is pointed at. */
  overlay?: (picture: Picture, index: number) => ReactNode;
  /** Placeholders after the pictures while more are on their way. */
  pending?: boolean;
  /** Run before a picture's page opens. */
  onOpen?: (picture: Picture, index: number) => void;
  /** Without it there are no boxes to tick. */
  selectable?: boolean;
}

const ROWS_BEFORE_END = 3;

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ width: 0, top: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      const box = element.current?.getBoundingClientRect();
      if (!box) return;
      const next = { width: Math.floor(box.width), top: Math.round(box.top + scrollY) };
      setPlace((now) => (now.width === next.width && now.top === next.top ? now : next));
    };
    measure();
    const observer = new ResizeObserver(measure);
    if (element.current) observer.observe(element.current);
    observer.observe(document.body);
    return () => observer.disconnect();
  }, []);
  return { element, ...place };
}

/** Pictures in justified rows. Only the rows near the window exist, so that ten thousand scroll like ten. */
export function Gallery({ pictures, label, onNearEnd, overlay, pending = false, onOpen, selectable = true }: Props) {
  const { element, width, top } = useWidth();
  const rows = useMemo(() => rowsOf(pictures, width), [pictures, width]);
  const order = useMemo(() => pictures.map((each) => each.id), [pictures]);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (index) => rows[index]?.height ?? rowHeightFor(width),
    gap: GAP_PX,
    overscan: 4,
    scrollMargin: top,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: new rows have new heights, which it keeps otherwise
  useLayoutEffect(() => virtualizer.measure(), [rows]);

  const shown = virtualizer.getVirtualItems();
  const lastShown = shown.at(-1)?.index ?? -1;
  const nearEnd = rows.length > 0 && lastShown >= rows.length - ROWS_BEFORE_END;
  useEffect(() => {
    if (nearEnd) onNearEnd?.();
  }, [nearEnd, onNearEnd]);

  const focusOn = (index: number) => {
    const row = rows.findIndex((each) => index < each.first + each.boxes.length);
    const find = () => element.current?.querySelector<HTMLElement>(`[data-index="${index}"]`);
    const now = find();
    if (now) now.focus();
    else {
      virtualizer.scrollToIndex(row, { align: "center" });
      requestAnimationFrame(() => requestAnimationFrame(() => find()?.focus()));
    }
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const at = (event.target as HTMLElement).dataset.index;
    if (at === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const index = Number(at);
    const target = targetOf(event.key, index, rows, pictures.length);
    if (target !== null) focusOn(target);
    else if (event.key.toLowerCase() === "x" && selectable) {
      if (event.shiftKey) selection.extendTo(order[index] ?? "", order);
      else selection.toggle(order[index] ?? "");
    } else return;
    event.preventDefault();
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys move between the links inside
    <div ref={element} className={styles.gallery} onKeyDown={onKeyDown}>
      <ul aria-label={label} className={styles.canvas} style={{ height: virtualizer.getTotalSize() }}>
        {shown.map((item) => {
          const row = rows[item.index];
          return row?.boxes.map((box, i) => {
            const picture = pictures[row.first + i];
            return (
              picture && (
                <Tile
                  key={picture.id}
                  picture={picture}
                  index={row.first + i}
                  order={order}
                  selectable={selectable}
                  overlay={overlay}
                  onOpen={onOpen}
                  style={{ width: box.width, height: box.height, left: box.left, top: item.start - top }}
                />
              )
            );
          });
        })}
      </ul>
      {pending && <PendingRows width={width} count={pictures.length ? 1 : 3} />}
    </div>
  );
}

function targetOf(key: string, index: number, rows: ReturnType<typeof rowsOf>, count: number): number | null {
  if (key === "ArrowRight" || key === "j") return Math.min(index + 1, count - 1);
  if (key === "ArrowLeft" || key === "k") return Math.max(index - 1, 0);
  if (key === "ArrowDown") return neighbourInRows(rows, index, 1);
  if (key === "ArrowUp") return neighbourInRows(rows, index, -1);
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  return null;
}

const PENDING_ASPECTS = [1.5, 1, 1.33, 0.75, 1.78, 1.2, 1, 1.5];

/** Grey boxes of the size that pictures will have. */
export function PendingRows({ width, count = 3 }: { width: number; count?: number }) {
  const sizes = Array.from({ length: count * 8 }, (_, i) => ({
    width: (PENDING_ASPECTS[i % 8] ?? 1) * 100,
    height: 100,
  }));
  const rows = rowsOf(sizes, width).slice(0, count);
  return (
    <div className={styles.pending} aria-hidden="true">
      {rows.map((row) => (
        <div key={row.first} className={styles.pendingRow} style={{ height: row.height }}>
          {row.boxes.map((box) => (
            <div key={box.left} style={{ width: box.width }} />
          ))}
        </div>
      ))}
    </div>
  );
}
