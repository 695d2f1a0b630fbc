import { plural } from "@lingui/core/macro";
import { Trans, useLingui } from "@lingui/react/macro";
import { useEffect, useEffectEvent, useRef, useState } from "react";
import { Button } from "../../parts/button";
import { FolderIcon, UploadIcon } from "../../parts/icons";
import { tell, tellFailure } from "../../parts/toasts";
import styles from "./add.module.css";
import { addressesIn, chosen, droppedFiles, type Found, joined, pickedFiles } from "./dropped";
import { uploads } from "./send";
import type { Target } from "./upload-queue";

function useTaking(target: Target) {
  const { t } = useLingui();
  return (found: readonly Found[]) => {
    const { take, leave } = chosen(found);
    uploads.addFiles(
      take.map(({ file, within }) => ({ file, folder: joined(target.folder, within) })),
      target.tags,
    );
    if (leave)
      tell(
        t`${plural(leave, { one: "# file is no picture and was left out.", other: "# files are no pictures and were left out." })}`,
      );
  };
}

/** Files that are dropped anywhere on the page, pasted, or picked. */
export function FromDevice({ target }: { target: Target }) {
  const take = useTaking(target);
  const over = useDropAnywhere(take, target);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const pick = (event: React.ChangeEvent<HTMLInputElement>) => {
    take(pickedFiles(event.target.files ?? []));
    event.target.value = "";
  };
  return (
    <section className={styles.drop} data-over={over || undefined}>
      <UploadIcon />
      <p className={styles.lead}>
        <Trans>Drop pictures or whole folders here</Trans>
      </p>
      <p className={styles.soft}>
        <Trans>or paste them, or their web addresses. Dropped folders become folders of the library.</Trans>
      </p>
      <div className={styles.buttons}>
        <Button kind="main" onClick={() => files.current?.click()}>
          <Trans>Choose pictures</Trans>
        </Button>
        <Button onClick={() => folder.current?.click()} className={styles.folderButton}>
          <FolderIcon />
          <Trans>Choose a folder</Trans>
        </Button>
      </div>
      <input
        ref={files}
        type="file"
        multiple
        accept="image/*,.heic,.heif,.avif,.dng,.cr2,.cr3,.nef,.arw,.raf,.orf,.rw2"
        hidden
        onChange={pick}
        data-testid="files"
      />
      <input ref={folder} type="file" multiple webkitdirectory="" hidden onChange={pick} />
    </section>
  );
}

const bringsSomething = ({ types }: DataTransfer) => types.includes("Files") || types.includes("text/uri-list");

const isTyping = (target: EventTarget | null) => target instanceof Element && target.matches("input, textarea, select");

/** What is dropped anywhere on the page, or pasted outside of a field. Returns whether something is held over the page. */
function useDropAnywhere(take: (found: readonly Found[]) => void, target: Target): boolean {
  const [over, setOver] = useState(false);
  const takeAddresses = (text: string) => {
    const { urls, other } = addressesIn(text);
    if (urls.length && !other.length) uploads.addAddresses(urls, target);
  };
  const onDrop = useEffectEvent(async (data: DataTransfer) => {
    if (!data.types.includes("Files")) return takeAddresses(data.getData("text/uri-list"));
    try {
      take(await droppedFiles(data));
    } catch (error) {
      tellFailure(error);
    }
  });
  const onPaste = useEffectEvent((event: ClipboardEvent) => {
    const data = event.clipboardData;
    if (!data || isTyping(event.target)) return;
    if (data.files.length) take(pickedFiles(data.files));
    else takeAddresses(data.getData("text/plain"));
  });
  useEffect(() => {
    let leaving: ReturnType<typeof setTimeout> | undefined;
    const dragged = (event: DragEvent) => {
      if (!event.dataTransfer || !bringsSomething(event.dataTransfer)) return;
      event.preventDefault();
      clearTimeout(leaving);
      setOver(true);
    };
    const left = () => {
      leaving = setTimeout(() => setOver(false), 80);
    };
    const dropped = (event: DragEvent) => {
      if (!event.dataTransfer || !bringsSomething(event.dataTransfer)) return;
      event.preventDefault();
      setOver(false);
      void onDrop(event.dataTransfer);
    };
    const pasted = (event: ClipboardEvent) => onPaste(event);
    addEventListener("dragover", dragged);
    addEventListener("dragleave", left);
    addEventListener("drop", dropped);
    addEventListener("paste", pasted);
    return () => {
      clearTimeout(leaving);
      removeEventListener("dragover", dragged);
      removeEventListener("dragleave", left);
      removeEventListener("drop", dropped);
      removeEventListener("paste", pasted);
    };
  }, []);
  return over;
}
