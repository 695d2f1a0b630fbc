import { Trans, useLingui } from "@lingui/react/macro";
import { useState } from "react";
import { apiKey, setApiKey } from "../api/key";
import { Button } from "../parts/button";
import { Field } from "../parts/field";
import { SettingsIcon } from "../parts/icons";
import { Popup } from "../parts/popup";
import { chooseLanguage, LANGUAGES, type Language } from "./language";
import styles from "./preferences.module.css";
import { queryClient } from "./query-client";
import { openShortcuts } from "./shortcuts";
import { chooseTheme, chosenTheme, THEMES, type Theme } from "./theme";

function ThemeChoice() {
  const { t } = useLingui();
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  const names: Record<Theme, string> = { system: t`As the system`, light: t`Light`, dark: t`Dark` };
  return (
    <Field label={t`Appearance`}>
      <select
        value={theme}
        onChange={(event) => {
          const chosen = event.target.value as Theme;
          setTheme(chosen);
          chooseTheme(chosen);
        }}
      >
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {names[each]}
          </option>
        ))}
      </select>
    </Field>
  );
}

function LanguageChoice() {
  const { t, i18n } = useLingui();
  return (
    <Field label={t`Language`}>
      <select value={i18n.locale} onChange={(event) => void chooseLanguage(event.target.value as Language)}>
        {Object.entries(LANGUAGES).map(([code, name]) => (
          <option key={code} value={code}>
            {name}
          </option>
        ))}
      </select>
    </Field>
  );
}

function KeyEntry() {
  const { t } = useLingui();
  const [key, setKey] = useState(() => apiKey() ?? "");
  const save = (event: React.FormEvent) => {
    event.preventDefault();
    setApiKey(key);
    void queryClient.invalidateQueries();
  };
  return (
    <form onSubmit={save} className={styles.key}>
      <Field label={t`API key`} hint={t`Only where the service asks for one. It is forgotten when this tab closes.`}>
        <input type="password" autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />
      </Field>
      <Button type="submit">
        <Trans>Use it</Trans>
      </Button>
    </form>
  );
}

/** Appearance, language, key, and where to find the shortcuts and the API. */
export function Preferences() {
  const { t } = useLingui();
  return (
    <Popup button={<SettingsIcon />} name={t`Settings`} className={styles.trigger} align="end">
      {(close) => (
        <>
          <ThemeChoice />
          <LanguageChoice />
          <KeyEntry />
          <div className={styles.more}>
            <Button
              kind="quiet"
              onClick={() => {
                close();
                openShortcuts();
              }}
            >
              <Trans>Keyboard shortcuts</Trans>
            </Button>
            <a href="docs">
              <Trans>The API</Trans>
            </a>
          </div>
        </>
      )}
    </Popup>
  );
}
