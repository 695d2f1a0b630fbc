import { Trans, useLingui } from "@lingui/react/macro";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { thumbnail } from "../api/addresses";
import { Button } from "../parts/button";
import { CloseIcon, LinkIcon, MinusIcon, PictureIcon, PlusIcon } from "../parts/icons";
import { Popup } from "../parts/popup";
import styles from "./chip.module.css";
import { uploadOf } from "./uploads";
import type { Term } from "./url";

interface Props {
  term: Term;
  onChange: (term: Term) => void;
  onRemove: () => void;
}

/** An object address of the upload, or null while it is read and where it is gone. */
function useUpload(id: string | null) {
  const upload = useQuery({
    queryKey: ["upload", id],
    queryFn: () => uploadOf(id ?? ""),
    enabled: id !== null,
    staleTime: Number.POSITIVE_INFINITY,
    networkMode: "always",
  });
  const [address, setAddress] = useState<string | null>(null);
  const blob = upload.data?.blob;
  useEffect(() => {
    if (!blob) return;
    const made = URL.createObjectURL(blob);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return { address, name: upload.data?.name, gone: id !== null && upload.data === null };
}

function Thumb({ src }: { src: string | null }) {
  const [failed, setFailed] = useState(false);
  if (!src || failed) return <PictureIcon />;
  return <img src={src} alt="" className={styles.thumb} onError={() => setFailed(true)} />;
}

function useDescription(term: Term) {
  const { t } = useLingui();
  const upload = useUpload(term.kind === "upload" ? term.value : null);
  if (term.kind === "text") return { name: term.value, face: <span className={styles.words}>{term.value}</span> };
  if (term.kind === "url") {
    const host = URL.canParse(term.value) ? new URL(term.value).hostname : term.value;
    return {
      name: t`the picture at ${host}`,
      face: (
        <>
          <LinkIcon />
          <span className={styles.words}>{host}</span>
        </>
      ),
    };
  }
  if (term.kind === "picture")
    return { name: t`a picture of the library`, face: <Thumb src={thumbnail(term.value)} /> };
  if (upload.gone)
    return {
      name: t`a picture that is not here any more`,
      face: <span className={styles.words}>{t`picture gone`}</span>,
    };
  return { name: upload.name ?? t`your picture`, face: <Thumb src={upload.address} /> };
}

/** One term of the search. A click on its sign turns plus into minus; its popup has the weight. */
export function TermChip({ term, onChange, onRemove }: Props) {
  const { t } = useLingui();
  const { name, face } = useDescription(term);
  const minus = term.weight < 0;
  const flip = () =>
    onChange({ kind: term.kind, value: term.value, weight: minus ? Math.abs(term.weight) : -Math.abs(term.weight) });
  return (
    <li className={styles.chip} data-minus={minus || undefined}>
      <button
        type="button"
        className={styles.sign}
        onClick={flip}
        aria-label={minus ? t`Look for ${name} instead of away from it` : t`Look away from ${name} instead of for it`}
        title={minus ? t`Taken away. Click to look for it` : t`Looked for. Click to take it away`}
      >
        {minus ? <MinusIcon /> : <PlusIcon />}
      </button>
      <Popup button={face} name={t`How much ${name} counts`} className={styles.face}>
        <label className={styles.weight}>
          <span>
            <Trans>Weight</Trans> <output>{Math.abs(term.weight).toFixed(1)}</output>
          </span>
          <input
            type="range"
            min={0.1}
            max={3}
            step={0.1}
            value={Math.abs(term.weight)}
            onChange={(event) => onChange({ ...term, weight: (minus ? -1 : 1) * Number(event.target.value) })}
          />
        </label>
        {minus && (
          <label className={styles.check}>
            <input
              type="checkbox"
              checked={term.exclude ?? false}
              onChange={(event) => onChange({ ...term, exclude: event.target.checked })}
            />
            <Trans>Leave out every picture that shows it</Trans>
          </label>
        )}
        <Button kind="quiet" onClick={onRemove}>
          <Trans>Remove</Trans>
        </Button>
      </Popup>
      <button type="button" className={styles.sign} onClick={onRemove} aria-label={t`Remove ${name}`}>
        <CloseIcon />
      </button>
    </li>
  );
}
