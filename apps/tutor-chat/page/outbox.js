// Messages that were typed and are not known to be stored. They are kept in the browser until the
// server has confirmed them, so that neither a refresh nor a server that is down loses one; each
// has an id, so that sending it twice stores it once.

import { backOff } from './requests.js';
import { keys, read, remove, write } from './storage.js';

const PREFIX = 'chatOutbox:';
/** How long another tab may delay the messages of this one. */
const PATIENCE_MS = 2_000;
/** How long a tab leaves the messages of another tab to that tab. */
const HELP_MS = 500;

export class Outbox {
  #prefix;
  #send;
  #onChange;
  #onSent;
  #onRefused;
  #running = false;
  #attempt = 0;
  #wake = () => {};
  #count = 0;
  /** Stops waiting for another tab that sends. */
  #queue = null;
  /** The tab is put aside: it sends nothing, and keeps no other from sending. */
  #aside = false;
  #letGo = () => {};
  #help = null;

  /** The sessions with messages that wait. */
  static sessions() {
    return [...new Set(keys(PREFIX).map(key => key.slice(PREFIX.length, key.lastIndexOf(':'))))];
  }

  /**
   * `send(message)`; `onChange()`; `onSent(message)`; `onRefused(why)`. After `signal` has aborted, what waits is still
   * sent, and nothing else is taken in.
   */
  constructor(sessionId, { send, onChange, onSent, onRefused }, signal) {
    this.#prefix = `${PREFIX}${sessionId}:`;
    this.#send = send;
    this.#onChange = onChange;
    this.#onSent = onSent;
    this.#onRefused = onRefused;
    // Another tab of this session adds to, and sends from, the same outbox.
    window.addEventListener('storage', event => {
      if (event.key === null || event.key.startsWith(this.#prefix)) {
        onChange();
        this.#help ??= setTimeout(() => {
          this.#help = null;
          this.run();
        }, HELP_MS);
      }
    }, { signal });
    document.addEventListener('freeze', () => {
      this.#aside = true;
      this.#letGo();
    });
    document.addEventListener('resume', () => {
      this.#aside = false;
      this.run();
    });
  }

  /** In the order typed: `{key, message, failed?}`. */
  list() {
    return keys(this.#prefix).map(key => ({ key, ...read(key) })).filter(entry => entry.message);
  }

  /** True while the server does not take messages. */
  get stuck() {
    return this.#attempt > 0;
  }

  add(message) {
    this.#count += 1;
    const order = `${String(Date.now()).padStart(15, '0')}-${String(this.#count).padStart(6, '0')}`;
    const key = `${this.#prefix}${order}-${message.id}`;
    write(key, { message });
    this.#onChange();
    this.run();
    setTimeout(() => {
      if (read(key)) this.#queue?.abort();
    }, PATIENCE_MS);
  }

  discard(key) {
    remove(key);
    this.#onChange();
  }

  clear() {
    for (const { key } of this.list()) remove(key);
    this.#onChange();
  }

  /** Forgets the messages that the server has. */
  confirm(ids) {
    for (const { key, message } of this.list()) if (ids.has(message.id)) remove(key);
  }

  /** Sends a refused message once more. */
  again(key) {
    const entry = read(key);
    if (entry) write(key, { message: entry.message });
    this.#onChange();
    this.run();
  }

  /** Sends now instead of at the end of the current wait. */
  hurry() {
    this.#wake();
    this.run();
  }

  async run() {
    if (this.#running || this.#aside) return;
    this.#running = true;
    try {
      await this.#alone(() => this.#drain());
    } finally {
      this.#running = false;
      this.#attempt = 0;
    }
    if (this.#next()) this.run();
  }

  /**
   * Runs `send` while no other tab does, so that each message is sent once. Every tab sends in the
   * order typed and goes on when a message is stored, so two that send at once keep the order, too:
   * a tab that hangs is not waited for.
   */
  async #alone(send) {
    if (!navigator.locks) return send();
    const queue = new AbortController();
    this.#queue = queue;
    const aside = new Promise(resolve => (this.#letGo = resolve));
    let sending;
    await navigator.locks.request(this.#prefix, { signal: queue.signal }, () => {
      this.#queue = null;
      sending = send();
      return Promise.race([sending, aside]);
    }).catch(() => {
      // Waited for too long, or there are no locks for this page.
      this.#queue = null;
      return sending ?? send();
    });
  }

  #next() {
    return this.list().find(entry => !entry.failed);
  }

  async #drain() {
    for (let entry = this.#next(); entry; entry = this.#next()) {
      try {
        await this.#send(entry.message);
        this.#attempt = 0;
        this.#onSent(entry.message);
        remove(entry.key);
      } catch (error) {
        if (error.transient) {
          this.#attempt += 1;
          this.#onChange();
          await this.#pause(Math.max(backOff(this.#attempt - 1), error.retryAfterMs));
        } else {
          this.#attempt = 0;
          // Discarded or cleared meanwhile: do not bring it back.
          if (read(entry.key)) {
            write(entry.key, { message: entry.message, failed: error.message });
            this.#onRefused?.(error.message);
          }
        }
      }
      this.#onChange();
    }
  }

  #pause(ms) {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
