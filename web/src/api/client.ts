import createClient, { type Middleware } from "openapi-fetch";
import { BASE } from "./addresses";
import { authorization } from "./key";
import { ServiceError, serviceError } from "./problems";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type ImageResult = Schemas["ImageResult"];
export type ImageInfo = Schemas["ImageInfo"];
export type SearchResult = Schemas["SearchResult"];

const keyed: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
    return request;
  },
};

/** `fetch` of the service with the tab's key. Raises ServiceError with status 0 when no answer comes. */
export async function request(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(input, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServiceError(0, "No answer", "");
  }
}

/** Typed calls: `api.GET("/api/v1/folders")`. Wrap them in `answer()`, which raises ServiceError. */
export const api = createClient<paths>({ baseUrl: BASE.replace(/\/$/, "") || undefined, fetch: request });
api.use(keyed);

/** The data of a call. Raises ServiceError for every answer that is no success. */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw serviceError(response, error);
  return data as T;
}
