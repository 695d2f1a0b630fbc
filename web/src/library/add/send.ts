import { API } from "../../api/addresses";
import { libraryChanged } from "../../api/changes";
import { answer, api, type ImageInfo } from "../../api/client";
import { authorization } from "../../api/key";
import { isServiceError, messageOf, ServiceError, serviceError } from "../../api/problems";
import { tellFailure } from "../../parts/toasts";
import { cancelImport, followImport, type ImportedItem, type ImportInfo } from "./follow";
import { isOver, type Outcome, type Transport, type Upload, UploadQueue } from "./upload-queue";

const PATIENCE = 6;
const WAIT_S = 2;

interface Answer {
  status: number;
  body: unknown;
}

/** A form, sent with progress, which `fetch` does not tell. Raises ServiceError and AbortError. */
function post(path: string, form: FormData, onSent: (share: number) => void, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}${path}`);
    request.responseType = "json";
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onSent(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => onSent(1);
    request.onerror = () => reject(new ServiceError(0, "No answer", ""));
    request.onabort = () => reject(new DOMException("The upload was cancelled", "AbortError"));
    request.onload = () => {
      const { status, response } = request;
      if (status >= 200 && status < 300) resolve({ status, body: response });
      else {
        const retryAfter = request.getResponseHeader("Retry-After");
        reject(
          serviceError(
            new Response(null, { status, headers: retryAfter ? { "Retry-After": retryAfter } : {} }),
            response,
          ),
        );
      }
    };
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** Waits where the service has too much to do. */
async function patiently<T>(send: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      if (!isServiceError(error, 503) || tries === PATIENCE || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfterS ?? WAIT_S)));
    }
  }
}

async function one(upload: Upload, onSent: (share: number) => void, signal: AbortSignal): Promise<Outcome> {
  const { name, folder, tags, file } = upload;
  if (!file) {
    onSent(1);
    const body = { url: name, folder, name: "", tags: [...tags] };
    const { data, error, response } = await api.POST("/api/v1/images", { body, signal });
    if (!data) throw serviceError(response, error);
    return added(response.status, data.image_id);
  }
  const form = new FormData();
  form.append("folder", folder);
  for (const each of tags) form.append("tags", each);
  form.append("file", file, name);
  const { status, body } = await post("/images", form, onSent, signal);
  return added(status, (body as ImageInfo).image_id);
}

const added = (status: number, imageId: string): Outcome => ({
  state: status === 201 ? "added" : "present",
  imageId,
  reason: null,
  mayRetry: false,
});

const outcomeOf = ({ outcome, image_id: imageId, reason }: ImportedItem): Outcome =>
  outcome === "added" || outcome === "present"
    ? { state: outcome, imageId, reason: null, mayRetry: false }
    : { state: "failed", imageId: null, reason, mayRetry: outcome !== "refused" };

async function startImport(
  uploads: readonly Upload[],
  onSent: (share: number) => void,
  signal: AbortSignal,
): Promise<ImportInfo> {
  const [first] = uploads;
  const folder = first?.folder ?? "";
  if (!first?.file) {
    onSent(1);
    const body = { urls: uploads.map((each) => each.name), folder, count: 20 };
    return answer(api.POST("/api/v1/images/import", { body, signal }));
  }
  const form = new FormData();
  form.append("folder", folder);
  for (const { file, name } of uploads) if (file) form.append("files", file, name);
  return (await post("/images/import", form, onSent, signal)).body as ImportInfo;
}

const many: Transport["many"] = async (uploads, onSent, onOutcome, signal) => {
  const { id } = await patiently(() => startImport(uploads, onSent, signal), signal);
  signal.addEventListener("abort", () => void cancelImport(id).catch(tellFailure), { once: true });
  const onPicture = (item: ImportedItem) => onOutcome(item.name, outcomeOf(item));
  const info = await followImport(id, onPicture, signal);
  for (const item of info.items ?? []) if (item.outcome !== "waiting") onPicture(item);
};

const reasonOf: Transport["reasonOf"] = (error) => ({
  reason: messageOf(error),
  mayRetry: !(error instanceof ServiceError) || [0, 404, 408, 409].includes(error.status) || error.status >= 500,
});

const TOGETHER_MS = 1000;
let soon: ReturnType<typeof setTimeout> | undefined;

/** Not after each of many pictures. */
function onAdded(): void {
  if (soon) return;
  soon = setTimeout(() => {
    soon = undefined;
    void libraryChanged();
  }, TOGETHER_MS);
}

/** The uploads of this tab. */
export const uploads = new UploadQueue({
  one: (upload, onSent, signal) => patiently(() => one(upload, onSent, signal), signal),
  many,
  reasonOf,
  onAdded,
});

// The browser asks before it closes the tab while pictures are on their way.
addEventListener("beforeunload", (event) => {
  if (!uploads.uploads().every(isOver)) event.preventDefault();
});
