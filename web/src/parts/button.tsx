import type { ComponentProps } from "react";
import styles from "./button.module.css";

type Props = ComponentProps<"button"> & {
  /** `main` once a page at most: what it is for. `quiet`: without a frame. `danger`: what takes something away. */
  kind?: "main" | "plain" | "quiet" | "danger";
  /** Square, for an icon alone; needs an `aria-label`. */
  icon?: boolean;
};

export function Button({ kind = "plain", icon = false, className, type = "button", ...rest }: Props) {
  const classes = [styles.button, styles[kind], icon && styles.icon, className].filter(Boolean).join(" ");
  return <button type={type} className={classes} {...rest} />;
}
