import { Plural, Trans, useLingui } from "@lingui/react/macro";
import { type FormEvent, useState } from "react";
import { Button } from "../../parts/button";
import { Field } from "../../parts/field";
import styles from "./add.module.css";
import { addressesIn } from "./dropped";
import { uploads } from "./send";
import type { Target } from "./upload-queue";

/** Pictures by their addresses on the web; the service fetches them. */
export function ByAddress({ target }: { target: Target }) {
  const { t } = useLingui();
  const [text, setText] = useState("");
  const [asked, setAsked] = useState(false);
  const { urls, other } = addressesIn(text);
  const add = (event: FormEvent) => {
    event.preventDefault();
    setAsked(true);
    if (!urls.length || other.length) return;
    uploads.addAddresses(urls, target);
    setText("");
    setAsked(false);
  };
  const wrong = other[0] ?? "";
  const error = !asked ? undefined : wrong ? (
    <Trans>“{wrong}” is no web address. It begins with https://</Trans>
  ) : urls.length ? undefined : (
    <Trans>Enter at least one address.</Trans>
  );
  return (
    <form onSubmit={add} className={styles.form}>
      <Field
        label={t`Addresses of pictures`}
        hint={<Trans>One a line. The service fetches them itself, so they have to be reachable from there.</Trans>}
        error={error}
      >
        <textarea
          rows={5}
          spellCheck={false}
          placeholder="https://example.org/sunset.jpg"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </Field>
      <Button kind="main" type="submit">
        {urls.length > 1 ? (
          <Plural value={urls.length} one="Add # picture" other="Add # pictures" />
        ) : (
          <Trans>Add</Trans>
        )}
      </Button>
    </form>
  );
}
