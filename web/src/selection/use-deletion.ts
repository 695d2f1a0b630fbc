import { plural } from "@lingui/core/macro";
import { useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { isServiceError } from "../api/problems";
import { tell, tellFailure } from "../parts/toasts";
import { forget } from "./deleted-lately";
import { type Deleted, deletePictures, type Meant, undoDeletions } from "./deletion";

/** Brings pictures back and says so. */
export function useUndo() {
  const { t } = useLingui();
  return async (ids: string[]) => {
    try {
      const count = await undoDeletions(ids);
      tell(t`${plural(count, { one: "# picture is back.", other: "# pictures are back." })}`);
    } catch (error) {
      if (isServiceError(error, 404)) {
        forget(ids);
        tellFailure(new Error(t`These pictures are no longer in the trash. They can't be brought back.`));
      } else tellFailure(error);
    }
  };
}

/** Deletes pictures, says what was done and offers to undo it. `progress` is set while it goes on. */
export function useDeletion() {
  const { t } = useLingui();
  const undo = useUndo();
  const [progress, setProgress] = useState<{ count: number; total: number } | null>(null);

  const remove = async (meant: Meant, total: number): Promise<Deleted | null> => {
    setProgress({ count: 0, total });
    try {
      const deleted = await deletePictures(meant, (count) => setProgress({ count, total }), total);
      const { count } = deleted;
      const text = t`${plural(count, { one: "# picture deleted.", other: "# pictures deleted." })}`;
      tell(text, deleted.undo.length ? { label: t`Undo`, run: () => void undo(deleted.undo) } : undefined);
      if (deleted.error) tellFailure(new Error(deleted.error));
      return deleted;
    } catch (error) {
      tellFailure(error);
      return null;
    } finally {
      setProgress(null);
    }
  };
  return { remove, progress };
}
