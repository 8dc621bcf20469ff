// HTTP by hand over a socket, for requests that no client library sends.

import net from 'node:net';
import { sleep } from './programs.mjs';

/** A connection to `service`; it collects the answer unless it is told not to read. */
export class Connection {
  received = '';
  /** When it ended, or undefined. */
  ended;

  constructor(service, { reads = true } = {}) {
    this.socket = net.connect(service.port, '127.0.0.1');
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.ended = Date.now()));
    if (reads) this.socket.on('data', (data) => (this.received += data.toString('latin1')));
    else this.socket.pause();
    this.connected = new Promise((resolve, reject) => this.socket.once('connect', resolve).once('error', reject));
  }

  write(data) {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  /** Waits until `done` holds for the bytes received, or for the end of the connection, or the limit in ms. */
  async until(done, limit) {
    for (const end = Date.now() + limit; Date.now() < end && !this.ended && !done(this.received); ) await sleep(20);
    return this.received;
  }

  close() {
    this.socket.destroy();
  }
}

export const head = (method, path, headers = {}) =>
  `${[`${method} ${path} HTTP/1.1`, 'host: faults', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`;

/** The status line's number, the headers in lower case, and the rest. */
export function parsed(received) {
  const at = received.indexOf('\r\n\r\n');
  const [line = '', ...lines] = received.slice(0, at < 0 ? undefined : at).split('\r\n');
  const headers = Object.fromEntries(lines.map((text) => [text.split(':')[0].toLowerCase(), text.slice(text.indexOf(':') + 1).trim()]));
  return { status: Number(line.split(' ')[1]), headers, body: at < 0 ? '' : received.slice(at + 4) };
}
