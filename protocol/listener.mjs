// A reader of server-sent events over fetch: Node 20 has no EventSource.

const OPEN_MS = 10_000;
const EVENT_MS = 5_000;

/** Reads one event block: `{event, id, data}`, the data parsed as JSON; undefined for a comment. */
export function parseEvent(block) {
  const fields = { event: 'message', data: [] };
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, name, value] = line.match(/^([^:]*):? ?(.*)$/s);
    if (name === 'data') fields.data.push(value);
    else if (name === 'event' || name === 'id') fields[name] = value;
  }
  if (fields.data.length === 0) return undefined;
  return { ...fields, data: JSON.parse(fields.data.join('\n')) };
}

/** One open event stream; events wait here until a step asks for them. */
export class Listener {
  #abort = new AbortController();
  #events = [];
  #wake = () => {};
  #error;

  static async open(fetch, url, headers) {
    const listener = new Listener();
    const timer = setTimeout(() => listener.#abort.abort(new Error('the stream did not open in time')), OPEN_MS);
    headers.set('accept', 'text/event-stream');
    try {
      listener.response = await fetch(url, { headers, signal: listener.#abort.signal });
    } finally {
      clearTimeout(timer);
    }
    listener.#read().catch(error => {
      listener.#error = error;
      listener.#wake();
    });
    return listener;
  }

  async #read() {
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of this.response.body) {
      const blocks = (text + decoder.decode(chunk, { stream: true })).split(/\r\n\r\n|\n\n|\r\r/);
      text = blocks.pop();
      this.#events.push(...blocks.map(parseEvent).filter(event => event));
      this.#wake();
    }
  }

  /** The next event of this type, passing over others; undefined when none comes in time. */
  async next(type) {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, EVENT_MS);
    try {
      return await this.#take(type, () => late);
    } finally {
      clearTimeout(timer);
    }
  }

  async #take(type, late) {
    for (;;) {
      while (this.#events.length > 0) {
        const event = this.#events.shift();
        if (event.event === type) return event;
      }
      if (this.#error) throw this.#error;
      if (late()) return undefined;
      await new Promise(resolve => {
        this.#wake = resolve;
      });
    }
  }

  close() {
    this.#error = new Error('the stream was closed');
    this.#abort.abort();
  }
}
