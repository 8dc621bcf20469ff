// Keeps this tab in step with the server: loads the conversation, then follows the feed's events,
// and loads again when the feed may have missed events.

import { Feed } from './feed.js';
import { OwnChanges } from './own.js';
import { Replies } from './replies.js';
import { backOff, sleep } from './requests.js';

const PAGE = 100;
/** A message that was stored is on the stream at once; after so long the stream is not believed. */
const OVERDUE_MS = 5_000;
/** States of the feed in which a load stays up to date until an event comes. */
const FOLLOWING = ['live', 'silent', 'none'];

export class Live {
  #api;
  #on;
  #feed;
  #signal;
  #stale = true;
  #failed = false;
  #loading = null;
  #arrived = null;
  #stateChanges = 0;
  #overdue = new Map();
  #own = new OwnChanges(() => this.load());
  /** The replies that are being written. */
  replies = new Replies();

  /**
   * `on`: `page(rows, next)`, `row(row)`, `grown(seq)`, `state(fields)`; `status(name)`: `connecting`,
   * `connected` or `offline`. Nothing is told once `signal` has aborted.
   */
  constructor(api, on, signal) {
    this.#api = api;
    this.#on = on;
    this.#signal = signal;
    this.#feed = new Feed(api.eventsUrl, {
      event: (type, data) => this.#event(type, data),
      replies: list => {
        this.replies.copy(list);
        for (const { seq, message } of list) this.#row({ seq, message });
      },
      gap: () => {
        this.replies.clear();
        this.#own.clear();
        this.#stale = true;
        this.#catchUp();
      },
      state: () => {
        this.#catchUp();
        this.#tellStatus();
      },
    }, signal);
    signal.addEventListener('abort', () => {
      this.#stale = false;
      this.#forget();
      this.#own.clear({ all: true });
    });
  }

  start() {
    this.#feed.start();
    // The stream tells what came after this load when it is there; nobody waits for it.
    this.load();
    window.addEventListener('offline', () => {
      // Only another answer shows that it is not so.
      this.#fail();
      this.load();
    }, { signal: this.#signal });
  }

  #forget() {
    this.#overdue.forEach(clearTimeout);
    this.#overdue.clear();
  }

  /** The server has stored a message of this tab: the stream has to bring it, or it is loaded. */
  sent(id) {
    if (this.#feed.state !== 'live') {
      this.load();
      return;
    }
    const overdue = () => {
      this.#forget();
      this.#feed.distrust();
      this.load();
    };
    this.#overdue.set(id, setTimeout(overdue, OVERDUE_MS));
  }

  #event(type, data) {
    if (type === 'message' || type === 'reply') {
      this.replies.take(type, data);
      this.#row({ seq: data.seq, message: data.message });
    } else if (type === 'chunk') {
      if (this.replies.take(type, data) !== undefined) this.#on.grown(data.seq);
    } else if (type === 'state') {
      if (!this.#own.outdates(data.state.bookingInfo)) this.state(data.state);
    } else {
      this.replies.clear();
      this.#own.clear();
      this.load();
    }
  }

  #row(row) {
    this.#arrive(row);
    this.#arrived?.push(row);
    this.#on.row(row);
  }

  #arrive({ message }) {
    clearTimeout(this.#overdue.get(message.id));
    this.#overdue.delete(message.id);
  }

  /**
   * Sets the booking by a request of this tab. False if an event has shown the change before the
   * answer came; later changes may have been shown since.
   */
  async changeBooking(bookingInfo, request) {
    const change = this.#own.begin(bookingInfo);
    try {
      await request();
    } catch (error) {
      change.failed();
      throw error;
    }
    return change.stored();
  }

  /** App fields that changed, by an event. */
  state(fields) {
    this.changed();
    this.#on.state(fields);
  }

  /** The app fields changed: a load that is under way has older ones. */
  changed() {
    this.#stateChanges += 1;
  }

  #catchUp() {
    if (this.#stale && FOLLOWING.includes(this.#feed.state)) this.load();
  }

  #fail() {
    this.#failed = true;
    this.#tellStatus();
  }

  #tellStatus() {
    if (this.#signal.aborted) return;
    const { state } = this.#feed;
    if (this.#failed || state === 'lost') this.#on.status('offline');
    else if (state === 'connecting' || state === 'silent') this.#on.status('connecting');
    else if (!this.#stale) this.#on.status('connected');
  }

  /** Loads the conversation; if a load is under way, once more after it. */
  load() {
    if (this.#signal.aborted) return Promise.resolve();
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
        this.#failed = false;
        this.#tellStatus();
      } catch {
        if (this.#signal.aborted) return;
        this.#stale = true;
        this.#fail();
        // Without a stream, the next one that opens makes the page load.
        if (!['live', 'silent'].includes(this.#feed.state)) return;
        await sleep(backOff(2));
      }
    }
  }

  async #loadOnce() {
    const arrived = [];
    this.#arrived = arrived;
    const changes = this.#stateChanges;
    const [page, bookingInfo] = await Promise.all([
      this.#api.page(PAGE),
      this.#api.bookingInfo(),
    ]).finally(() => {
      this.#arrived = null;
    });
    if (this.#signal.aborted) return;
    const { rows, next } = asPage(page);
    const bySeq = new Map(rows.map(row => [row.seq, row]));
    const last = rows.at(-1)?.seq ?? -1;
    // Messages that arrived during the load are newer than its page.
    for (const row of arrived) if (row.seq > last || bySeq.has(row.seq)) bySeq.set(row.seq, row);
    rows.forEach(row => this.#arrive(row));
    if (changes === this.#stateChanges) this.#on.state({ bookingInfo });
    this.#on.page([...bySeq.values()], next);
  }

  /** The messages before `cursor`: `{rows, next}`. */
  async earlier(cursor) {
    return asPage(await this.#api.page(PAGE, cursor));
  }
}

/** A server without paging answers the plain list, all of it. */
function asPage(answer) {
  if (Array.isArray(answer)) {
    return { rows: answer.map((message, seq) => ({ seq, message })), next: null };
  }
  return { rows: answer.messages, next: answer.next };
}
