import { useLingui } from "@lingui/react/macro";
import { type ReactNode, useId } from "react";
import { useFolders } from "../api/use-folders";
import { Field } from "./field";

interface Props {
  value: string;
  onChange: (folder: string) => void;
  label: ReactNode;
  hint?: ReactNode;
}

/** A folder to put pictures into: one that is there, or a new one. */
export function FolderField({ value, onChange, label, hint }: Props) {
  const { t } = useLingui();
  const folders = useFolders().data?.folders ?? [];
  const list = useId();
  return (
    <>
      <Field label={label} hint={hint}>
        <input
          list={list}
          autoComplete="off"
          maxLength={1024}
          placeholder={t`the top of the library`}
          value={value}
          onChange={(event) => onChange(event.target.value)}
        />
      </Field>
      <datalist id={list}>
        {folders.map(({ path }) => (
          <option key={path} value={path} />
        ))}
      </datalist>
    </>
  );
}
