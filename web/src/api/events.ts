import { request } from "./client";
import { authorization } from "./key";
import { serviceError } from "./problems";

export interface ServerEvent {
  event: string;
  data: unknown;
  /** To go on after it when the connection breaks. */
  id: string | null;
}

function parse(block: string): ServerEvent | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const cut = line.indexOf(":");
    if (cut < 1) continue;
    const [field, value] = [line.slice(0, cut), line.slice(cut + 1).replace(/^ /, "")];
    if (field === "event") event = value;
    else if (field === "id") id = value;
    else if (field === "data") data.push(value);
  }
  return data.length ? { event, id, data: JSON.parse(data.join("\n")) } : null;
}

/** The events in a stream of text that comes in any pieces. */
export async function* readEvents(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let rest = "";
  for await (const chunk of chunks) {
    const blocks = (rest + chunk).split(/\r?\n\r?\n/);
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parse(block);
      if (event) yield event;
    }
  }
}

async function* textOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    await reader.cancel();
  }
}

/** Server-sent events by `fetch`, which can send the API key. It ends when the connection does. Raises ServiceError. */
export async function* eventsOf(
  address: string,
  signal: AbortSignal,
  after: string | null = null,
): AsyncGenerator<ServerEvent> {
  const headers = { Accept: "text/event-stream", ...authorization(), ...(after && { "Last-Event-ID": after }) };
  const response = await request(address, { headers, signal });
  if (!response.ok || !response.body) throw serviceError(response, await response.json().catch(() => null));
  yield* readEvents(textOf(response.body));
}
