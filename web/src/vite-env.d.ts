declare module "*.po" {
  export const messages: import("@lingui/core").Messages;
}
declare module "justified-layout" {
  export interface Box {
    aspectRatio: number;
    top: number;
    left: number;
    width: number;
    height: number;
  }
  export interface Layout {
    containerHeight: number;
    widowCount: number;
    boxes: Box[];
  }
  export interface Options {
    containerWidth?: number;
    containerPadding?: number | { top: number; right: number; bottom: number; left: number };
    boxSpacing?: number | { horizontal: number; vertical: number };
    targetRowHeight?: number;
    targetRowHeightTolerance?: number;
    maxNumRows?: number;
    forceAspectRatio?: boolean | number;
    showWidows?: boolean;
    fullWidthBreakoutRowCadence?: boolean | number;
  }
  export default function layout(input: number[] | { width: number; height: number }[], options?: Options): Layout;
}
