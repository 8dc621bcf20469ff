// A proxy in front of the server under test, as a network that goes wrong: it can drop the events
// of streams without closing them, while all else goes through.

import http from 'node:http';

export class Proxy {
  #server;
  #target;
  #pingMs;
  #streams = new Set();
  #dropping = false;

  /** In front of the server at `target`. Streams get a `ping` every `pingMs`, unless it is 0. */
  static async start(target, { pingMs = 1_000 } = {}) {
    const proxy = new Proxy();
    proxy.#target = new URL(target);
    proxy.#pingMs = pingMs;
    proxy.#server = http.createServer((request, response) => proxy.#forward(request, response));
    await new Promise(resolve => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.base = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Event streams opened so far. */
  opened = 0;

  get open() {
    return this.#streams.size;
  }

  /** Drops the events of open streams from now on, and with `alsoNew` those of new streams. */
  silence({ alsoNew = false } = {}) {
    for (const stream of this.#streams) stream.silent = true;
    this.#dropping = alsoNew;
  }

  /** New streams carry their events again. */
  restore() {
    this.#dropping = false;
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #forward(request, response) {
    const { method, headers, url: path } = request;
    const { hostname, port } = this.#target;
    const upstream = http.request({ hostname, port, path, method, headers }, answer => {
      response.writeHead(answer.statusCode, answer.headers);
      if (String(answer.headers['content-type']).startsWith('text/event-stream')) {
        this.#stream(answer, response);
      } else {
        answer.pipe(response);
      }
      answer.on('error', () => response.destroy());
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #stream(answer, response) {
    const stream = { silent: this.#dropping };
    this.#streams.add(stream);
    this.opened += 1;
    response.flushHeaders();
    let between = true;
    answer.on('data', bytes => {
      if (stream.silent) return;
      response.write(bytes);
      between = bytes.subarray(-2).equals(Buffer.from('\n\n'));
    });
    answer.on('end', () => response.end());
    const ping = () => {
      if (!stream.silent && between) response.write('event: ping\ndata: {}\n\n');
    };
    const timer = this.#pingMs > 0 ? setInterval(ping, this.#pingMs) : undefined;
    response.on('close', () => {
      clearInterval(timer);
      this.#streams.delete(stream);
    });
  }
}
