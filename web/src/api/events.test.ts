import { expect, it } from "vitest";
import { readEvents } from "./events";

async function* pieces(...texts: string[]) {
  yield* texts;
}

it("events are found, however the stream is cut into pieces", async () => {
  const stream = ': ping\n\nevent: picture\nid: 1\ndata: {"name": "a"}\n\nretry: 3000\nevent: done\ndata: {}\n\n';
  for (const size of [1, 3, 7, stream.length]) {
    const cut = stream.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    const events: unknown[] = [];
    for await (const event of readEvents(pieces(...cut))) events.push(event);
    expect(events).toEqual([
      { event: "picture", id: "1", data: { name: "a" } },
      { event: "done", id: null, data: {} },
    ]);
  }
});
