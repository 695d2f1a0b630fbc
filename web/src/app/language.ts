import { i18n, type Messages } from "@lingui/core";

export { i18n };

const CATALOGS: Record<string, () => Promise<{ messages: Messages }>> = {
  en: () => import("../locales/en.po"),
  de: () => import("../locales/de.po"),
};

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

const NAME = "image2search-language";

/** As chosen here earlier, or else the first of the browser's languages that there is a catalog for. */
export function chosenLanguage(): Language {
  const wanted = [localStorage.getItem(NAME), ...navigator.languages];
  for (const each of wanted) {
    const language = each?.slice(0, 2).toLowerCase();
    if (language && language in LANGUAGES) return language as Language;
  }
  return "en";
}

export async function loadLanguage(language: Language = chosenLanguage()): Promise<void> {
  const load = CATALOGS[language];
  if (!load) throw new Error(`No catalog for ${language}`);
  const { messages } = await load();
  i18n.loadAndActivate({ locale: language, messages });
  document.documentElement.lang = language;
}

export function chooseLanguage(language: Language): Promise<void> {
  localStorage.setItem(NAME, language);
  return loadLanguage(language);
}
