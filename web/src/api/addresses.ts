/** Where the app lives: `/`, or the path prefix that the service put into `<base href>`. Ends with a slash. */
export const BASE = new URL(document.baseURI).pathname;

/** The same without the slash at the end, as the router wants it. */
export const ROUTER_BASE = BASE.replace(/\/$/, "");

export const API = `${ROUTER_BASE}/api/v1`;

/** A small WebP of the picture, at most 256 pixels; `large`: 1024. `version` makes the address one to keep for good. */
export function thumbnail(id: string, options: { large?: boolean; version?: string | null } = {}): string {
  const parameters = new URLSearchParams();
  if (options.large) parameters.set("size", "large");
  if (options.version) parameters.set("v", options.version);
  const query = parameters.toString();
  return `${API}/images/${id}/thumbnail${query && `?${query}`}`;
}

/** The picture's file as it was added. */
export const original = (id: string): string => `${API}/images/${id}/original`;

/** The `v` of a `thumbnail_url`: it changes with the picture. */
export const versionOf = (thumbnailUrl: string): string | null =>
  new URL(thumbnailUrl, document.baseURI).searchParams.get("v");

/** The route of a picture's page, for links inside the app. */
export const picturePath = (id: string): string => `/pictures/${id}`;
