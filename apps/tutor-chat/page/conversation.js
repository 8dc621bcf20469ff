// The conversation: the stored messages in their order, then the messages on their way.

import { arrange, el } from './dom.js';
import { dateOf, isOpen, messageView, textOf, who } from './message.js';

const NEAR_BOTTOM = 80;
/** How close to the first message the view has to be for earlier ones to be loaded. */
const NEAR_TOP = '800px';

export class Conversation {
  #list = document.getElementById('messages');
  #scroller = document.getElementById('scroller');
  #newest = document.getElementById('newest');
  #announcer = document.getElementById('announcer');
  #rows = new Map();
  #sent = new Map();
  #views = new Map();
  #grown = new Set();
  #shown = false;
  #app;

  /**
   * `app`: `pending()`, `stuck()`, `booking()`, `book(match)`, `again(key)`, `discard(key)`, `hurry()`;
   * `reply(seq)`: the open reply there, if any; `stop(seq)`; `earlier()`: load more; `mayFork()`,
   * `fork(seq)`. When `signal` aborts, the page shows another conversation.
   */
  constructor(app, signal) {
    this.#app = app;
    this.#newest.addEventListener('click', () => {
      this.toBottom();
      this.#scroller.focus({ preventScroll: true });
    }, { signal });
    this.#scroller.addEventListener('scroll', () => this.#showJump(), { signal, passive: true });
    // The composer and the booking below change the height: stay at the end if the view is there.
    let height = this.#scroller.clientHeight;
    const sizes = new ResizeObserver(() => {
      const wasAtBottom = this.#scroller.scrollHeight - this.#scroller.scrollTop - height < NEAR_BOTTOM;
      height = this.#scroller.clientHeight;
      if (wasAtBottom) this.toBottom();
    });
    sizes.observe(this.#scroller);
    const top = new IntersectionObserver(([{ isIntersecting }]) => {
      if (isIntersecting) app.earlier();
    }, { root: this.#scroller, rootMargin: `${NEAR_TOP} 0px 0px 0px` });
    top.observe(document.getElementById('earlier'));
    signal.addEventListener('abort', () => {
      sizes.disconnect();
      top.disconnect();
      this.#list.replaceChildren();
      this.#announcer.replaceChildren();
      this.#newest.hidden = true;
    });
  }

  /** Ids of the messages that the server is known to have. */
  get storedIds() {
    return new Set([...this.#rows.values()].map(message => message.id).filter(id => typeof id === 'string'));
  }

  get hasUserMessage() {
    return [...this.#rows.values(), ...this.#sent.values()].some(message => message.role === 'user') || this.#app.pending().length > 0;
  }

  /** Whether the stored messages are here. */
  get loaded() {
    return this.#shown;
  }

  /** The text of the first message of the user, among those that are here. */
  get firstText() {
    const all = [...this.#sorted().map(([, message]) => message), ...this.#sent.values()];
    const first = all.find(message => message.role === 'user');
    return first && textOf(first);
  }

  /** The place of the view: the first message in it, and how far down that stands. */
  place() {
    const top = this.#scroller.getBoundingClientRect().top;
    for (const [seq, message] of this.#sorted()) {
      const rect = this.#views.get(keyOf(seq, message))?.element.getBoundingClientRect();
      if (rect && rect.bottom > top) return { seq, offset: rect.top - top };
    }
    return undefined;
  }

  has(seq) {
    return this.#rows.has(seq);
  }

  /** Brings the view back to a place. Messages get their height when they come into view. */
  restore(place) {
    this.#align(place);
    requestAnimationFrame(() => {
      this.#align(place);
      requestAnimationFrame(() => this.#align(place));
    });
  }

  #align({ seq, offset }) {
    const message = this.#rows.get(seq);
    const view = message && this.#views.get(keyOf(seq, message));
    if (!view) return;
    const top = this.#scroller.getBoundingClientRect().top;
    this.#scroller.scrollTop += view.element.getBoundingClientRect().top - top - offset;
  }

  #sorted() {
    return [...this.#rows.entries()].sort(([a], [b]) => a - b);
  }

  /** Replaces all messages by the loaded ones. */
  replace(rows) {
    const known = new Set(this.#rows.keys());
    const first = !this.#shown;
    this.#rows = new Map(rows.map(({ seq, message }) => [seq, message]));
    this.#shown = true;
    if (!first) for (const { seq, message } of rows) if (!known.has(seq)) this.#announce(message);
    this.render();
    if (first) this.toBottom();
  }

  add({ seq, message }) {
    const known = this.#rows.get(seq);
    if (!known || isOpen(known)) this.#announce(message);
    this.#rows.set(seq, message);
    this.render();
  }

  /** An open reply has more text, which is shown in the next frame. */
  grown(seq) {
    this.#grown.add(seq);
    if (this.#grown.size > 1) return;
    // A tab in the background has no frames.
    const show = document.visibilityState === 'visible' ? requestAnimationFrame : queueMicrotask;
    show(() => {
      const wasAtBottom = this.atBottom();
      for (const one of this.#grown) {
        const message = this.#rows.get(one);
        const view = message && this.#views.get(keyOf(one, message));
        view?.update({ ...this.#stored(one, message), day: view.day });
      }
      this.#grown.clear();
      if (wasAtBottom) this.toBottom();
    });
  }

  /** Puts earlier messages in front; the view stays at the same message. */
  prepend(rows) {
    const place = this.place();
    for (const { seq, message } of rows) this.#rows.set(seq, message);
    this.render({ follow: false });
    if (place) this.restore(place);
  }

  /** A message that the server has taken, until it arrives with its place. */
  sent(message) {
    this.#sent.set(message.id, message);
  }

  forgetSent() {
    this.#sent.clear();
  }

  toBottom() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#newest.hidden = true;
  }

  atBottom() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM;
  }

  /** At the end there is nothing to jump to. */
  #showJump({ news = false } = {}) {
    const away = !this.atBottom();
    this.#newest.hidden = !away;
    if (news && away) this.#newest.classList.add('news');
    if (!away) this.#newest.classList.remove('news');
    this.#newest.textContent = this.#newest.classList.contains('news') ? 'New messages ↓' : 'Jump to latest ↓';
  }

  #announce(message) {
    if (isOpen(message) || !this.#shown || message.role === 'user') return;
    this.say(`${who(message)}: ${textOf(message)}`);
  }

  /** A screen reader says it. */
  say(text) {
    this.#announcer.append(el('span', {}, `${text} `));
    while (this.#announcer.childElementCount > 5) this.#announcer.firstElementChild.remove();
  }

  #stored(seq, message) {
    const reply = this.#app.reply(seq);
    // A load may bring the whole message before the event of the end does.
    const written = reply && JSON.stringify(reply.message) === JSON.stringify(message) ? reply.text : undefined;
    const open = written !== undefined || isOpen(message);
    return { key: keyOf(seq, message), seq, message, state: open ? 'open' : 'stored', written };
  }

  #items() {
    const stored = this.storedIds;
    for (const id of stored) this.#sent.delete(id);
    const rows = this.#sorted();
    const waiting = this.#app.pending().filter(({ message }) => !stored.has(message.id) && !this.#sent.has(message.id));
    return nameDays([
      ...rows.map(([seq, message]) => this.#stored(seq, message)),
      ...[...this.#sent.values()].map(message => ({ key: `id:${message.id}`, message, state: 'stored' })),
      ...waiting.map(({ key, message, failed }) => ({ key: `id:${message.id}`, message, state: failed ? 'refused' : 'waiting', failed, outboxKey: key })),
    ]);
  }

  render({ follow = true } = {}) {
    const wasAtBottom = this.atBottom();
    const items = this.#items();
    const views = new Map();
    const [booking, mayFork] = [this.#app.booking(), this.#app.mayFork()];
    for (const item of items) {
      const old = this.#views.get(item.key);
      const view = old && isSame(old.message, item.message) ? old : { ...messageView(item.message, this.#app) };
      views.set(item.key, view);
      // Most of a long conversation stays as it is.
      const isAsBefore = view === old && item.state === 'stored' && view.state === 'stored'
        && view.seq === item.seq && view.day === item.day && view.booking === booking && view.mayFork === mayFork;
      const { message, seq, day, state } = item;
      Object.assign(view, { message, seq, day, state, booking, mayFork });
      if (isAsBefore) continue;
      // Only a message that is new here appears; one that changes does not appear again.
      if (old && old !== view) view.element.classList.add('changed');
      view.update(item);
    }
    const grew = views.size > this.#views.size;
    this.#views = views;
    arrange(this.#list, [...views.values()].map(view => view.element));
    if (!follow) return;
    if (wasAtBottom) this.toBottom();
    else if (grew && this.#shown) this.#showJump({ news: true });
  }
}

const isSame = (a, b) => a === b || JSON.stringify(a) === JSON.stringify(b);

const keyOf = (seq, message) => (typeof message.id === 'string' ? `id:${message.id}` : `seq:${seq}`);

const dayNames = new WeakMap();

/** The day of a message. Naming it takes longer than anything else that is done for each message. */
function dayOf(message) {
  if (!dayNames.has(message)) dayNames.set(message, dateOf(message)?.toDateString());
  return dayNames.get(message);
}

/** Names the day where the first message of a day stands. */
function nameDays(items) {
  let last;
  for (const item of items) {
    const day = dayOf(item.message);
    if (day && day !== last) item.day = inWords(dateOf(item.message));
    last = day ?? last;
  }
  return items;
}

export function inWords(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
  return date.toLocaleDateString([], { weekday: 'long', month: 'long', day: 'numeric', year });
}
