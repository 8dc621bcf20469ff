// An event stream that is known to live: the server sends a `ping` now and then, and a stream that
// is silent for too long is opened again, even if the browser takes it for alive.

import { backOff } from './requests.js';

const REOPEN_MOST_MS = 5_000;
const CHECK_MS = 1_000;
/** The time between pings, until the page has measured it, and the bounds of the measured time. */
const PING_MS = 15_000;
const LEAST_PING_MS = 1_000;
const MOST_PING_MS = 60_000;
const SLACK_MS = 3_000;

export class Stream {
  #url;
  #on;
  #source = null;
  #state = 'connecting';
  #attempts = 0;
  #heardAt = 0;
  /** When the last event was a ping: when it came. */
  #pingAt = null;
  #pingMs = null;
  /** The stream before this one fell silent: this one has to be heard first. */
  #unproven = false;
  #timer;
  #retry;

  /**
   * `on`: `event(type, data)`; `gap()`: events before now may have been missed;
   * `state(name)`: `connecting`, `live`, `silent` (open, but the last one fell silent and nothing was
   * heard since), `lost` (the browser tries again), `none` (the server has no stream now).
   */
  constructor(url, on) {
    this.#url = url;
    this.#on = on;
  }

  get state() {
    return this.#state;
  }

  open() {
    this.#timer = setInterval(() => this.check(), CHECK_MS);
    this.#connect();
  }

  close() {
    clearInterval(this.#timer);
    this.#stop();
    this.#state = 'connecting';
    this.#unproven = false;
  }

  /** Opens another stream in the place of one that may be dead. */
  reopen() {
    this.#set('connecting');
    this.#connect();
  }

  /** The stream has not brought an event that it should have brought. */
  distrust() {
    this.#unproven = true;
    this.reopen();
  }

  /** Opens another stream if this one is silent for too long. */
  check() {
    if (!this.#source) return;
    const silence = Date.now() - this.#heardAt;
    // The clock was set back.
    if (silence < 0) this.#heardAt = Date.now();
    if (silence > 2 * (this.#pingMs ?? PING_MS) + SLACK_MS) this.distrust();
  }

  #stop() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
  }

  #set(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#on.state(state);
  }

  #connect() {
    this.#stop();
    const source = new EventSource(this.#url);
    this.#source = source;
    this.#heardAt = Date.now();
    this.#pingAt = null;
    let resumable = false;
    source.addEventListener('open', () => {
      this.#attempts = 0;
      this.#heardAt = Date.now();
      // The browser resumes a broken stream by itself, but only from an event that it has seen.
      if (!resumable) this.#on.gap();
      this.#set(this.#unproven ? 'silent' : 'live');
    });
    for (const type of ['message', 'reply', 'chunk', 'state', 'resync', 'ping']) {
      source.addEventListener(type, event => {
        resumable ||= event.lastEventId !== '';
        this.#hear(type);
        if (type !== 'ping') this.#on.event(type, JSON.parse(event.data));
      });
    }
    source.addEventListener('error', () => this.#broken(source));
  }

  #hear(type) {
    const now = Date.now();
    if (type === 'ping' && this.#pingAt !== null) this.#learn(now - this.#pingAt);
    this.#pingAt = type === 'ping' ? now : null;
    this.#heardAt = now;
    this.#unproven = false;
    this.#set('live');
  }

  /** A long interval is believed at once, a short one bit by bit: a proxy may hold pings back. */
  #learn(ms) {
    const kept = Math.max(ms, (this.#pingMs ?? 0) / 2, LEAST_PING_MS);
    this.#pingMs = Math.min(kept, MOST_PING_MS);
  }

  #broken(source) {
    if (source !== this.#source) return;
    this.#heardAt = Date.now();
    if (source.readyState !== EventSource.CLOSED) {
      this.#set('lost');
      return;
    }
    this.#source = null;
    this.#on.gap();
    this.#set('none');
    this.#retry = setTimeout(() => this.#connect(), backOff(this.#attempts, REOPEN_MOST_MS));
    this.#attempts += 1;
  }
}
