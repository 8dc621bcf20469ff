// One conversation: its messages, its outbox, its booking, and their connection to the server. It
// lives until `signal` aborts; messages that were typed are still sent after that.

import { persistently, sessionApi } from './requests.js';
import { Booking } from './booking.js';
import { Conversation } from './conversation.js';
import { ask } from './dialogs.js';
import { booked, isOpen, start } from './flow.js';
import { Live } from './live.js';
import { Outbox } from './outbox.js';
import { random } from './session.js';

/** So many pages are loaded to come back to a place in the history. */
const MOST_PAGES = 20;

export class Chat {
  #api;
  #page;
  #signal;
  #outbox;
  #conversation;
  #booking;
  #live;
  #info = null;
  #cursor = null;
  #loadsEarlier = false;

  /**
   * `page`: `rendered(chat)`, `stored(chat)`: the server has a message of this tab; `status(name)`, `notice(text)`,
   * `toComposer()`, `fork(seq)`, `mayFork(chat)`.
   */
  constructor(session, page, signal) {
    this.session = session;
    this.#page = page;
    this.#signal = signal;
    this.#api = sessionApi(session.id);
    this.#outbox = new Outbox(session.id, {
      send: message => this.#api.post(message),
      onChange: () => this.#render(),
      onSent: message => {
        if (signal.aborted) return;
        this.#conversation.sent(message);
        this.#live.sent(message.id);
        page.stored(this);
      },
      onRefused: why => this.#conversation.say(`Not sent: ${why}`),
    }, signal);
    this.#conversation = new Conversation({
      pending: () => this.#outbox.list(),
      stuck: () => this.#outbox.stuck,
      booking: () => this.#info,
      book: match => this.#book(match),
      again: key => this.#outbox.again(key),
      discard: key => this.#outbox.discard(key),
      hurry: () => this.#outbox.hurry(),
      reply: seq => this.#live.replies.at(seq),
      stop: seq => this.#stop(seq),
      earlier: () => this.earlier(),
      mayFork: () => page.mayFork(this),
      fork: seq => page.fork(seq),
    }, signal);
    this.#booking = new Booking(session.id, {
      save: info => this.#setBooking(info, () => this.#api.putBookingInfo(info)),
      cancel: () => this.#cancelBooking(),
      atEnd: () => this.#conversation.atBottom(),
      toEnd: () => this.#conversation.toBottom(),
    }, signal);
    this.#live = new Live(this.#api, {
      page: (rows, next) => this.#loaded(rows, next),
      row: row => {
        this.#conversation.add(row);
        this.#settle();
      },
      grown: seq => this.#conversation.grown(seq),
      state: fields => this.#showState(fields),
      status: status => {
        page.status(status);
        if (status === 'connected') this.#outbox.hurry();
      },
    }, signal);
  }

  start() {
    this.#render();
    this.#live.start();
    this.#outbox.run();
  }

  get api() {
    return this.#api;
  }

  /** Whether nothing was said in this conversation yet, as far as the page knows. */
  get isNew() {
    return this.#conversation.loaded && !this.#conversation.hasUserMessage;
  }

  get hasEarlier() {
    return this.#cursor !== null;
  }

  /** The first message of the user; none until it is loaded. */
  get firstText() {
    return this.#cursor === null ? this.#conversation.firstText : undefined;
  }

  send(content) {
    // Half an emoji, as `slice` can leave it, is not text that a server can store.
    const whole = content.toWellFormed?.() ?? content;
    this.#outbox.add({ role: 'user', content: whole, id: random(26), timestamp: Date.now() });
    this.#conversation.toBottom();
  }

  /** Messages that wait are sent now. */
  hurry() {
    this.#outbox.hurry();
  }

  /** Removes the conversation and its booking. */
  async reset() {
    await persistently(() => this.#api.reset());
    this.#outbox.clear();
    this.#booking.forgetDraft();
    this.#conversation.forgetSent();
    await this.#live.load();
  }

  /** Loads the messages before those that are shown. */
  async earlier() {
    if (this.#cursor === null || this.#loadsEarlier) return;
    this.#loadsEarlier = true;
    try {
      await this.#onePageMore();
    } catch (error) {
      // 410: the conversation the cursor belonged to is gone.
      if (error.status === 410) this.#live.load();
      else this.#page.notice(`Earlier messages could not be loaded: ${error.message}.`);
    } finally {
      this.#loadsEarlier = false;
    }
  }

  async #onePageMore() {
    const cursor = this.#cursor;
    const { rows, next } = await this.#live.earlier(cursor);
    if (this.#signal.aborted || cursor !== this.#cursor) return;
    this.#cursor = next;
    this.#conversation.prepend(rows);
    this.#render();
  }

  /** The end of the conversation was loaded. Whoever was reading further up stays there. */
  async #loaded(rows, next) {
    const place = this.#conversation.loaded && !this.#conversation.atBottom() ? this.#conversation.place() : undefined;
    this.#cursor = next;
    this.#conversation.replace(rows);
    this.#settle();
    if (!place) return;
    try {
      for (let pages = 0; !this.#conversation.has(place.seq) && this.#cursor !== null && pages < MOST_PAGES; pages += 1) {
        await this.#onePageMore();
      }
    } catch {
      // What is there is shown; the rest is loaded when the view comes to it.
    }
    if (!this.#signal.aborted) this.#conversation.restore(place);
  }

  /** Messages that the server has leave the outbox. */
  #settle() {
    this.#outbox.confirm(this.#conversation.storedIds);
    this.#render();
  }

  #render() {
    if (this.#signal.aborted) return;
    this.#conversation.render();
    this.#page.rendered(this);
  }

  #showState(fields, { focus = false } = {}) {
    if ('bookingInfo' in fields) this.#info = fields.bookingInfo;
    this.#booking.show(this.#info, { focus });
    this.#render();
  }

  async #setBooking(info, request, { focus = true } = {}) {
    const news = await this.#live.changeBooking(info, () => persistently(request));
    if (this.#signal.aborted) return;
    this.#live.changed();
    this.#showState(news ? { bookingInfo: info } : {}, { focus });
  }

  async #cancelBooking() {
    if (!isOpen(this.#info) && !(await ask('cancel-booking'))) return;
    await this.#setBooking(null, () => this.#api.deleteBookingInfo(), { focus: false });
    this.#page.toComposer();
  }

  async #book(match) {
    if (this.#info && !isOpen(this.#info) && !(await ask('replace-booking'))) return;
    // Another offer in the middle of a booking: the answers given so far still hold.
    const info = isOpen(this.#info) ? { ...this.#info, ...booked(match) } : start(match);
    try {
      await this.#setBooking(info, () => this.#api.update({ pendingMatch: match, bookingInfo: info }));
    } catch (error) {
      this.#page.notice(`The booking could not be started: ${error.message}.`);
    }
  }

  /** The message comes as an event, as after every other end. */
  async #stop(seq) {
    try {
      await persistently(() => this.#api.stop(seq));
    } catch (error) {
      // 409: it had ended before.
      if (error.status !== 409) this.#page.notice(`The answer could not be stopped: ${error.message}.`);
    }
  }
}
