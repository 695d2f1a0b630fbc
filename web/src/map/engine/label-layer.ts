import { type Camera, type Size, toScreen } from "./camera";
import { type Label, labelOpacity, withoutOverlaps } from "./labels";

interface Shown {
  label: Label;
  element: HTMLElement;
  width: number;
  height: number;
  isShown: boolean;
}

/** The names of the regions as elements over the map. They are moved, and never laid out anew. */
export class LabelLayer {
  private shown: Shown[] = [];

  constructor(
    private readonly place: HTMLElement,
    private readonly className: string,
  ) {}

  /** Replaces all names. */
  set(labels: readonly Label[]): void {
    const elements = labels.map((label) => {
      const element = document.createElement("span");
      element.className = this.className;
      element.textContent = label.text;
      return element;
    });
    this.place.replaceChildren(...elements);
    this.shown = labels.map((label, i) => {
      const element = elements[i] as HTMLElement;
      return { label, element, width: element.offsetWidth, height: element.offsetHeight, isShown: false };
    });
    this.shown.sort((a, b) => b.label.count - a.label.count);
  }

  update(camera: Camera, view: Size): void {
    const opacity = labelOpacity(camera.scale);
    this.place.style.opacity = String(opacity);
    if (!opacity) return;
    const boxes = this.shown.map(({ label, width, height }) => ({ ...toScreen(camera, view, label), width, height }));
    const fits = withoutOverlaps(boxes);
    this.shown.forEach((each, i) => {
      const box = boxes[i];
      if (!box) return;
      const [left, top] = [Math.round(box.x - box.width / 2), Math.round(box.y - box.height / 2)];
      each.element.style.transform = `translate(${left}px, ${top}px)`;
      const isShown = fits[i] ?? false;
      if (isShown !== each.isShown) each.element.style.opacity = isShown ? "1" : "0";
      each.isShown = isShown;
    });
  }
}
