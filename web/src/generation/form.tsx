import { Trans, useLingui } from "@lingui/react/macro";
import { parseAsString, useQueryStates } from "nuqs";
import { type FormEvent, useState } from "react";
import { thumbnail } from "../api/addresses";
import { Button } from "../parts/button";
import { Field } from "../parts/field";
import { FolderField } from "../parts/folder-field";
import { CloseIcon } from "../parts/icons";
import styles from "./form.module.css";
import type { Status, Wish } from "./job";

const number = (typed: string): number | null => (typed.trim() ? Number(typed) : null);

interface Props {
  status: Status;
  onStart: (wish: Wish) => Promise<void>;
}

/** What to draw. `?prompt=` and `?init=` (a picture to begin from) fill it in. */
export function GenerationForm({ status, onStart }: Props) {
  const { t } = useLingui();
  const [asked, setAsked] = useQueryStates({ prompt: parseAsString.withDefault(""), init: parseAsString });
  const [prompt, setPrompt] = useState(asked.prompt);
  const [strength, setStrength] = useState(0.8);
  const [folder, setFolder] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const { abilities, limits } = status;

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const typed = new FormData(event.currentTarget);
    const text = (name: string) => String(typed.get(name) ?? "");
    setBusy(true);
    await onStart({
      prompt: prompt.trim(),
      negative_prompt: text("negative"),
      n: number(text("n")) ?? 1,
      seed: number(text("seed")),
      steps: number(text("steps")),
      guidance: number(text("guidance")),
      size: text("size") || null,
      scheduler: text("scheduler") || null,
      save_to_folder: folder,
      ...(asked.init && { init: { image_id: asked.init }, strength }),
    });
    setBusy(false);
  };

  return (
    <form className={styles.form} onSubmit={(event) => void submit(event)}>
      <Field label={t`What to draw`}>
        <textarea
          name="prompt"
          required
          maxLength={limits.max_prompt_chars}
          placeholder={t`a red lighthouse on a cliff at dusk`}
          value={prompt}
          onChange={(event) => setPrompt(event.target.value)}
        />
      </Field>
      {asked.init && (
        <div className={styles.init}>
          <img src={thumbnail(asked.init)} alt={t`What to begin from`} />
          <label>
            <span>
              <Trans>How much is drawn anew</Trans> <output>{Math.round(strength * 100)} %</output>
            </span>
            <input
              type="range"
              min={0.1}
              max={1}
              step={0.05}
              value={strength}
              onChange={(event) => setStrength(Number(event.target.value))}
            />
          </label>
          <Button kind="quiet" icon aria-label={t`Begin from no picture`} onClick={() => void setAsked({ init: null })}>
            <CloseIcon />
          </Button>
        </div>
      )}
      <details className={styles.options}>
        <summary>
          <Trans>Options</Trans>
        </summary>
        <div className={styles.grid}>
          {abilities?.takes_negative_prompts !== false && (
            <Field label={t`What it must not show`}>
              <input name="negative" maxLength={limits.max_prompt_chars} />
            </Field>
          )}
          <Field label={t`How many`}>
            <input name="n" type="number" min={1} max={limits.max_n} defaultValue={1} />
          </Field>
          <Field
            label={t`Size`}
            hint={abilities ? t`${abilities.width}x${abilities.height} where it is empty` : undefined}
          >
            <input
              name="size"
              pattern="[1-9][0-9]*x[1-9][0-9]*"
              placeholder={abilities ? `${abilities.width}x${abilities.height}` : "512x512"}
            />
          </Field>
          <Field label={t`Steps`}>
            <input
              name="steps"
              type="number"
              min={1}
              max={limits.max_steps}
              placeholder={abilities ? String(abilities.steps) : ""}
            />
          </Field>
          <Field label={t`How closely it follows the words`}>
            <input
              name="guidance"
              type="number"
              min={0}
              max={50}
              step="any"
              placeholder={abilities ? String(abilities.guidance) : ""}
            />
          </Field>
          <Field label={t`Seed`} hint={t`The same seed and words give the same picture.`}>
            <input name="seed" type="number" min={0} />
          </Field>
          {abilities && abilities.schedulers.length > 1 && (
            <Field label={t`Scheduler`}>
              <select name="scheduler" defaultValue="">
                <option value="">{abilities.scheduler}</option>
                {abilities.schedulers
                  .filter((each) => each !== abilities.scheduler)
                  .map((each) => (
                    <option key={each}>{each}</option>
                  ))}
              </select>
            </Field>
          )}
          <label className={styles.check}>
            <input
              type="checkbox"
              checked={folder !== null}
              onChange={(event) => setFolder(event.target.checked ? "generated" : null)}
            />
            <Trans>Put it into the library at once</Trans>
          </label>
          {folder !== null && <FolderField label={t`Folder`} value={folder} onChange={setFolder} />}
        </div>
      </details>
      <Button kind="main" type="submit" disabled={busy || !prompt.trim()}>
        <Trans>Draw</Trans>
      </Button>
    </form>
  );
}
