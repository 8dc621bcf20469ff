// Keeps this tab in step with the server: loads what is stored, then follows the event stream, and loads again whenever the
// stream cannot tell what was missed. A server without a stream is asked again every few seconds instead.

import { backOff, sleep } from './requests.js';

const PAGE = 100;
const REOPEN_MOST_MS = 5_000;

export class Live {
  #api;
  #on;
  #source = null;
  #reopens = 0;
  #stale = true;
  #loading = null;
  #arrived = null;
  #stateChanges = 0;

  /** `on`: `page(rows, next)`, `row(row)`, `state(fields)`, `status('connected' | 'offline')`. */
  constructor(api, on) {
    this.#api = api;
    this.#on = on;
  }

  /** True while changes arrive by themselves. */
  get streaming() {
    return this.#source?.readyState === EventSource.OPEN;
  }

  start() {
    const source = new EventSource(this.#api.eventsUrl);
    let resumable = false;
    const listen = (type, handle) =>
      source.addEventListener(type, event => {
        resumable ||= event.lastEventId !== '';
        handle(JSON.parse(event.data));
      });
    this.#source = source;
    source.addEventListener('open', () => {
      this.#reopens = 0;
      // The browser resumes a broken stream by itself, but only from an event that it has seen.
      if (this.#stale || !resumable) this.load();
      else this.#on.status('connected');
    });
    listen('message', row => this.#row(row));
    listen('state', ({ state }) => this.state(state));
    listen('resync', () => this.load());
    source.addEventListener('error', () => this.#broken(source));
  }

  async #broken(source) {
    if (source !== this.#source) return;
    if (source.readyState !== EventSource.CLOSED) {
      this.#on.status('offline');
      return;
    }
    this.#source = null;
    await this.load();
    await sleep(backOff(this.#reopens, REOPEN_MOST_MS));
    this.#reopens += 1;
    this.start();
  }

  #row(row) {
    this.#arrived?.push(row);
    this.#on.row(row);
  }

  /** App fields that changed, by an event or by this tab's own request; they outdate what is being loaded. */
  state(fields) {
    this.#stateChanges += 1;
    this.#on.state(fields);
  }

  /** Loads what is stored; when that is under way already, once more after it. */
  load() {
    this.#stale = true;
    this.#loading ??= this.#loadWhileStale().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #loadWhileStale() {
    while (this.#stale) {
      this.#stale = false;
      try {
        await this.#loadOnce();
        this.#on.status('connected');
      } catch {
        this.#stale = true;
        this.#on.status('offline');
        // Without a stream, what opens the next one loads.
        if (!this.streaming) return;
        await sleep(backOff(2));
      }
    }
  }

  async #loadOnce() {
    const arrived = [];
    this.#arrived = arrived;
    const changes = this.#stateChanges;
    const [page, pendingMatch, bookingInfo] = await Promise.all([
      this.#api.page(PAGE),
      this.#api.pendingMatch(),
      this.#api.bookingInfo(),
    ]).finally(() => {
      this.#arrived = null;
    });
    const { rows, next } = asPage(page);
    const bySeq = new Map(rows.map(row => [row.seq, row]));
    const last = rows.at(-1)?.seq ?? -1;
    // What arrived meanwhile is newer than the page.
    for (const row of arrived) if (row.seq > last || bySeq.has(row.seq)) bySeq.set(row.seq, row);
    if (changes === this.#stateChanges) this.#on.state({ pendingMatch, bookingInfo });
    this.#on.page([...bySeq.values()], next);
  }

  /** The messages before `cursor`: `{rows, next}`. */
  async earlier(cursor) {
    return asPage(await this.#api.page(PAGE, cursor));
  }
}

/** A server without paging answers the plain list, all of it. */
function asPage(answer) {
  if (Array.isArray(answer)) return { rows: answer.map((message, seq) => ({ seq, message })), next: null };
  return { rows: answer.messages, next: answer.next };
}
