export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const NAME = "image2search-theme";

export function chosenTheme(): Theme {
  const stored = localStorage.getItem(NAME);
  return THEMES.find((each) => each === stored) ?? "system";
}

/** Light or dark as chosen here, or else as the system has it. */
export function applyTheme(theme: Theme = chosenTheme()): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(NAME, theme);
  applyTheme(theme);
}
