/** The API key that the user entered. It is kept for this tab only. */
const NAME = "image2search-key";

export const apiKey = (): string | null => sessionStorage.getItem(NAME);

export function setApiKey(key: string): void {
  if (key.trim()) sessionStorage.setItem(NAME, key.trim());
  else sessionStorage.removeItem(NAME);
}

export function authorization(): Record<string, string> {
  const key = apiKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}
