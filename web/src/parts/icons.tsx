import type { ReactNode } from "react";

/** Line icons on a 24-unit grid, drawn for this app. They are decoration: name the button, not the icon. */
function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      width="20"
      height="20"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

const drawn = (path: string) => () => (
  <Icon>
    <path d={path} />
  </Icon>
);

export const SearchIcon = drawn("M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13Zm4.8-1.7L20 20");
export const PictureIcon = drawn("M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 17M15.5 9.5h.01");
export const CloseIcon = drawn("m6 6 12 12M18 6 6 18");
export const PlusIcon = drawn("M12 5v14M5 12h14");
export const MinusIcon = drawn("M5 12h14");
export const FolderIcon = drawn("M3.5 6h6l2 2.5h9v10h-17z");
export const SettingsIcon = drawn("M4 7h9m4 0h3M4 17h3m4 0h9M15 4.8v4.4M9 14.8v4.4");
export const CheckIcon = drawn("m5 12.5 4.5 4.5L19 7");
export const DownloadIcon = drawn("M12 4v11m0 0-4-4m4 4 4-4M5 20h14");
export const TrashIcon = drawn("M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5");
export const LinkIcon = drawn(
  "M10 14a4 4 0 0 0 6 .4l2.6-2.6a4 4 0 0 0-5.7-5.7L11.6 7.4M14 10a4 4 0 0 0-6-.4l-2.6 2.6a4 4 0 0 0 5.7 5.7l1.3-1.3",
);
export const BackIcon = drawn("M19 12H5m0 0 6-6m-6 6 6 6");
export const ForwardIcon = drawn("M5 12h14m0 0-6-6m6 6-6 6");
export const UndoIcon = drawn("M8 5 4 9l4 4M4 9h9.5a5.5 5.5 0 0 1 0 11H9");
export const UploadIcon = drawn("M12 16V5m0 0L8 9m4-4 4 4M5 20h14");
export const SimilarIcon = drawn("M4 8h11v12H4zM8.5 8V4H20v12h-5");
export const PencilIcon = drawn("m5 19 .8-4L16 4.8l3.2 3.2L9 18.2 5 19Z");
export const SparkIcon = drawn("M12 4v4m0 8v4M4 12h4m8 0h4M7 7l2 2m6 6 2 2m0-10-2 2m-6 6-2 2");
export const LassoIcon = drawn(
  "M12 14c5 0 8.5-2 8.5-5S17 4 12 4 3.5 6 3.5 9 7 14 12 14Zm-5-1c-1.6 1.2-1.6 3 0 3.4 2 .5 2 2.6.4 3.6",
);
