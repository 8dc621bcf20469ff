// What `useChat` does, made of the package's own parts: its transport, which parses every chunk by
// `uiMessageChunkSchema` and throws at one that does not fit, and its reader of streams.

import assert from 'node:assert/strict';
import { AbstractChat, DefaultChatTransport, readUIMessageStream, uiMessageChunkSchema } from 'ai';
import { parseJsonEventStream } from '@ai-sdk/provider-utils';

/** How many chunks all clients were sent, and how many of them the schema refused. */
export const counts = { parsed: 0, refused: 0 };
const counting = [];
/** Waits until everything is counted that clients were sent. */
export const counted = () => Promise.all(counting);

/** All chunks of a response, each parsed by the schema. */
export async function* chunksOf(response) {
  for await (const chunk of parsed(response.body)) {
    assert.ok(chunk.success, `a chunk was refused: ${JSON.stringify(chunk.rawValue)}`);
    yield chunk.value;
  }
}

/** Parses by the schema, and counts. */
async function* parsed(stream) {
  for await (const chunk of parseJsonEventStream({ stream, schema: uiMessageChunkSchema })) {
    counts.parsed += 1;
    if (!chunk.success) counts.refused += 1;
    yield chunk;
  }
}

/** The package's transport. What it is sent is counted beside it. */
class Transport extends DefaultChatTransport {
  processResponseStream(stream) {
    const [own, copy] = stream.tee();
    counting.push(count(copy));
    return super.processResponseStream(own);
  }
}

async function count(stream) {
  try {
    for await (const _ of parsed(stream));
  } catch {
    // The service was killed, or the client went away; what came before is counted.
  }
}

/** The message that a stream makes of `message`; an error ends it. */
export async function read(stream, message) {
  let last = message;
  for await (const next of readUIMessageStream({ stream, message, terminateOnError: true })) last = next;
  return last;
}

class State {
  status = 'ready';
  error = undefined;
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = message => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = thing => structuredClone(thing);
}

/** The chat that is behind the hook, without React. */
export class Chat extends AbstractChat {
  constructor(api, id, messages = [], options = {}) {
    super({ id, state: new State(messages), transport: new Transport({ api }), ...options });
  }
}

/** The text of a message. */
export const textOf = message =>
  message.parts.filter(part => part.type === 'text').map(part => part.text).join('');
