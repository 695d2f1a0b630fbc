import { queryOptions } from "@tanstack/react-query";
import { answer, api, type ImageResult, type Schemas } from "../api/client";
import { uploadOf } from "../search/uploads";
import type { Search } from "../search/url";

export type SessionAnswer = Schemas["SessionAnswer"];
export type SessionTurn = Schemas["SessionTurn"];

const SHOWN = 60;

export interface Judgement {
  feedback: string;
  pick: string[];
  reject: string[];
}

/** What of a refined search is on the screen. `results` are all that a reload gets back. */
export type Shown = Pick<SessionAnswer, "results"> & Partial<SessionAnswer>;

export const sessionOptions = (id: string) =>
  queryOptions({
    queryKey: ["session", id],
    queryFn: () => answer(api.GET("/api/v1/sessions/{session_id}", { params: { path: { session_id: id } } })),
  });

export const shownOptions = (id: string) =>
  queryOptions({
    queryKey: ["session-answer", id],
    queryFn: () => shownBefore(id),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** After a reload: the pictures of the session's last answer. */
async function shownBefore(id: string): Promise<Shown> {
  const { turns } = await answer(api.GET("/api/v1/sessions/{session_id}", { params: { path: { session_id: id } } }));
  const ids = turns.at(-1)?.results.slice(0, SHOWN) ?? [];
  const found = await Promise.all(
    ids.map((image_id) => api.GET("/api/v1/images/{image_id}", { params: { path: { image_id } } })),
  );
  const results = found.flatMap(({ data }): ImageResult[] =>
    data ? [{ ...data, score: 0, distance: 0, relevance: null }] : [],
  );
  return { results };
}

/** Whether a session can begin with this search: it takes words, pictures of the library and uploads. */
export const canRefine = (search: Search) => !search.term.some((each) => each.kind === "url");

/** Minus terms are said as feedback: a session's search has none. */
export function firstFeedback(search: Pick<Search, "term">): string {
  return search.term
    .filter((each) => each.kind === "text" && each.weight < 0)
    .map((each) => `without ${each.value}`)
    .join(", ");
}

async function begin(search: Search): Promise<string> {
  const { session_id } = await answer(api.POST("/api/v1/sessions"));
  const path = { session_id };
  const plus = search.term.filter((each) => each.weight > 0);
  const words = [search.q.trim(), ...plus.filter((each) => each.kind === "text").map((each) => each.value)];
  const query = words.filter(Boolean).join(", ");
  const image_ids = plus.filter((each) => each.kind === "picture").map((each) => each.value);
  const uploads = plus.filter((each) => each.kind === "upload");
  if (!uploads.length) {
    const body = { query, image_ids, k: SHOWN, folders: search.folder };
    await answer(api.POST("/api/v1/sessions/{session_id}/search", { params: { path }, body }));
    return session_id;
  }
  const form = new FormData();
  form.set("query", query);
  form.set("k", String(SHOWN));
  for (const folder of search.folder) form.append("folders", folder);
  for (const each of uploads) {
    const upload = await uploadOf(each.value);
    if (upload) form.append("files", upload.blob, upload.name);
  }
  await answer(
    api.POST("/api/v1/sessions/{session_id}/search", {
      params: { path },
      body: form as never,
      bodySerializer: (body: unknown) => body as FormData,
    }),
  );
  return session_id;
}

/** Refines the session, or one that begins with the search. Returns its id and what it answers. */
export async function refine(search: Search, judgement: Judgement): Promise<{ id: string; shown: SessionAnswer }> {
  const id = search.session ?? (await begin(search));
  const said = [search.session ? "" : firstFeedback(search), judgement.feedback.trim()].filter(Boolean).join(", ");
  const body = { feedback: said, pick: judgement.pick, reject: judgement.reject, k: SHOWN };
  const shown = await answer(
    api.POST("/api/v1/sessions/{session_id}/refine", { params: { path: { session_id: id } }, body }),
  );
  return { id, shown };
}

export const undo = (id: string): Promise<SessionAnswer> =>
  answer(api.POST("/api/v1/sessions/{session_id}/undo", { params: { path: { session_id: id } } }));
