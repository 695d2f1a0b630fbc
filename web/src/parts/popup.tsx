import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import styles from "./popup.module.css";

interface Props {
  /** What the button shows, and its name where that is only an icon. */
  button: ReactNode;
  name: string;
  className?: string | undefined;
  /** Which edge of the button the popup stands at. */
  align?: "start" | "end";
  children: ReactNode | ((close: () => void) => ReactNode);
}

/** A button with a small window below it. It closes on Escape, on a click elsewhere, and when the focus goes elsewhere. */
export function Popup({ button, name, className, align = "start", children }: Props) {
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const id = useId();
  const close = () => {
    setOpen(false);
    trigger.current?.focus();
  };
  useEffect(() => {
    if (!open) return;
    const leave = (event: Event) => {
      if (event.target instanceof Node && !place.current?.contains(event.target)) setOpen(false);
    };
    addEventListener("pointerdown", leave);
    addEventListener("focusin", leave);
    return () => {
      removeEventListener("pointerdown", leave);
      removeEventListener("focusin", leave);
    };
  }, [open]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it catches Escape from what is inside
    <div
      ref={place}
      className={styles.place}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.preventDefault();
        event.stopPropagation();
        close();
      }}
    >
      <button
        ref={trigger}
        type="button"
        className={className}
        aria-label={name}
        title={name}
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div id={id} role="group" aria-label={name} className={styles.popup} data-align={align}>
          {typeof children === "function" ? children(close) : children}
        </div>
      )}
    </div>
  );
}
