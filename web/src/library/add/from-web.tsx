import { Trans, useLingui } from "@lingui/react/macro";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { answer, api } from "../../api/client";
import { isServiceError, messageOf } from "../../api/problems";
import { Button } from "../../parts/button";
import { Field } from "../../parts/field";
import styles from "./add.module.css";
import { rememberImport } from "./started-imports";

const PROVIDERS = ["openverse", "ddgs"] as const;
type Provider = (typeof PROVIDERS)[number];
const COUNTS = [10, 20, 50, 100];

/** A search of the web whose pictures are all added, with the names of their makers. */
export function FromWeb({ folder }: { folder: string }) {
  const { t } = useLingui();
  const [query, setQuery] = useState("");
  const [provider, setProvider] = useState<Provider>("openverse");
  const [count, setCount] = useState(20);
  const start = useMutation({
    mutationFn: () =>
      answer(api.POST("/api/v1/images/import", { body: { query: query.trim(), provider, count, folder } })),
    onSuccess: ({ id }) => {
      rememberImport(id);
      setQuery("");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (query.trim()) start.mutate();
  };
  return (
    <form onSubmit={submit} className={styles.form}>
      <Field label={t`What to look for`}>
        <input
          type="search"
          maxLength={200}
          required
          placeholder={t`lighthouse at night`}
          value={query}
          onChange={(event) => setQuery(event.target.value)}
        />
      </Field>
      <div className={styles.pair}>
        <Field
          label={t`Where`}
          hint={
            provider === "openverse" ? (
              <Trans>Pictures that may be used again. Maker and licence come with each.</Trans>
            ) : (
              <Trans>All of the web. The licences are not known: ask before you use such a picture.</Trans>
            )
          }
        >
          <select value={provider} onChange={(event) => setProvider(event.target.value as Provider)}>
            <option value="openverse">Openverse</option>
            <option value="ddgs">DuckDuckGo</option>
          </select>
        </Field>
        <Field label={t`How many, at most`}>
          <select value={count} onChange={(event) => setCount(Number(event.target.value))}>
            {COUNTS.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </Field>
      </div>
      {start.isError && <Refusal error={start.error} />}
      <Button kind="main" type="submit" disabled={start.isPending}>
        <Trans>Search, and add what is found</Trans>
      </Button>
    </form>
  );
}

function Refusal({ error }: { error: unknown }) {
  const notAllowed = isServiceError(error, 400) && error.detail.includes("WEB_PROVIDERS");
  return (
    <p role="alert" className={styles.alert}>
      {notAllowed ? (
        <Trans>
          This service does not search there yet. Its operator can allow it with the setting WEB_PROVIDERS, for example
          WEB_PROVIDERS=openverse.
        </Trans>
      ) : (
        messageOf(error)
      )}
    </p>
  );
}
