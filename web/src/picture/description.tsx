import { Trans, useLingui } from "@lingui/react/macro";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { libraryChanged } from "../api/changes";
import { answer, api, type ImageInfo } from "../api/client";
import { isServiceError } from "../api/problems";
import { useReadOnly } from "../api/use-read-only";
import { useShortcuts } from "../app/shortcuts";
import { Button } from "../parts/button";
import { Field } from "../parts/field";
import { PencilIcon, SparkIcon } from "../parts/icons";
import { tell, tellFailure } from "../parts/toasts";
import styles from "./description.module.css";

/** Tags as they are typed, one after a comma. */
export const tagsOf = (typed: string): string[] => [
  ...new Set(
    typed
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean),
  ),
];

function Form({ image, onDone }: { image: ImageInfo; onDone: () => void }) {
  const { t } = useLingui();
  const [caption, setCaption] = useState(image.caption ?? "");
  const [tags, setTags] = useState(image.tags.join(", "));
  const path = { image_id: image.image_id };
  const saving = useMutation({
    mutationFn: () =>
      answer(
        api.PATCH("/api/v1/images/{image_id}", {
          params: { path },
          body: { caption: caption.trim() || null, tags: tagsOf(tags) },
        }),
      ),
    onSuccess: async () => {
      await libraryChanged();
      tell(t`Saved.`);
      onDone();
    },
    onError: tellFailure,
  });
  const describing = useMutation({
    mutationFn: () =>
      answer(api.POST("/api/v1/images/{image_id}/caption", { params: { path }, body: { replace: true } })),
    onSuccess: async (described) => {
      setCaption(described.caption ?? "");
      await libraryChanged();
    },
    onError: (error) =>
      tellFailure(isServiceError(error, 501) ? new Error(t`No captioner is set up here: ${error.message}`) : error),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    saving.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <Field label={t`What it shows`}>
        <textarea value={caption} onChange={(event) => setCaption(event.target.value)} />
      </Field>
      <Button
        kind="quiet"
        onClick={() => describing.mutate()}
        disabled={describing.isPending}
        className={styles.describe}
      >
        <SparkIcon />{" "}
        {describing.isPending ? <Trans>Looking at it…</Trans> : <Trans>Let the captioner describe it</Trans>}
      </Button>
      <Field label={t`Tags`} hint={t`Separated by commas`}>
        <input value={tags} onChange={(event) => setTags(event.target.value)} />
      </Field>
      <div className={styles.buttons}>
        <Button kind="main" type="submit" disabled={saving.isPending}>
          <Trans>Save</Trans>
        </Button>
        <Button onClick={onDone}>
          <Trans>Cancel</Trans>
        </Button>
      </div>
    </form>
  );
}

/** Caption and tags, to read and to edit. */
export function Description({ image }: { image: ImageInfo }) {
  const { t } = useLingui();
  const readOnly = useReadOnly();
  const [editing, setEditing] = useState(false);
  const name = image.object_key.slice(image.object_key.lastIndexOf("/") + 1);
  useShortcuts(readOnly ? [] : [{ keys: "e", what: t`Edit caption and tags`, run: () => setEditing(true) }]);
  if (editing) return <Form image={image} onDone={() => setEditing(false)} />;
  return (
    <header className={styles.head}>
      <h1>{image.caption ?? name}</h1>
      {image.caption && image.caption_by !== "person" && (
        <p className={styles.by}>
          <Trans>Described by {image.caption_by}</Trans>
        </p>
      )}
      {image.tags.length > 0 && (
        <ul className={styles.tags} aria-label={t`Tags`}>
          {image.tags.map((tag) => (
            <li key={tag}>{tag}</li>
          ))}
        </ul>
      )}
      {!readOnly && (
        <Button kind="quiet" onClick={() => setEditing(true)} className={styles.edit}>
          <PencilIcon /> <Trans>Edit</Trans>
        </Button>
      )}
    </header>
  );
}
