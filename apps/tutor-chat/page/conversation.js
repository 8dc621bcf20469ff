// The conversation: the stored messages in their order, then the messages on their way.

import { arrange, el } from './dom.js';
import { isBookingOf, matchCard } from './card.js';

const NEAR_BOTTOM = 80;
const WHO = { user: 'You', assistant: 'Assistant' };

export class Conversation {
  #list = document.getElementById('messages');
  #scroller = document.getElementById('scroller');
  #newest = document.getElementById('newest');
  #announcer = document.getElementById('announcer');
  #rows = new Map();
  #sent = new Map();
  #views = new Map();
  #shown = false;
  #app;

  /**
   * `app`: `pending()`, `stuck()`, `booking()`, `book(match)`, `again(key)`, `discard(key)`, `hurry()`;
   * `reply(seq)`: the open reply there, if any; `stop(seq)`.
   */
  constructor(app) {
    this.#app = app;
    this.#newest.addEventListener('click', () => {
      this.toBottom();
      this.#scroller.focus({ preventScroll: true });
    });
    this.#scroller.addEventListener('scroll', () => {
      if (this.atBottom()) this.#newest.hidden = true;
    });
    // The composer and the booking below change the height: stay at the end if the view is there.
    let height = this.#scroller.clientHeight;
    new ResizeObserver(() => {
      const wasAtBottom = this.#scroller.scrollHeight - this.#scroller.scrollTop - height < NEAR_BOTTOM;
      height = this.#scroller.clientHeight;
      if (wasAtBottom) this.toBottom();
    }).observe(this.#scroller);
  }

  /** Ids of the messages that the server is known to have. */
  get storedIds() {
    return new Set([...this.#rows.values()].map(message => message.id).filter(id => typeof id === 'string'));
  }

  get hasUserMessage() {
    return [...this.#rows.values(), ...this.#sent.values()].some(message => message.role === 'user') || this.#app.pending().length > 0;
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

  /** An open reply has more text. */
  grown(seq) {
    const message = this.#rows.get(seq);
    const view = message && this.#views.get(keyOf(seq, message));
    if (!view) return;
    const wasAtBottom = this.atBottom();
    view.update(this.#stored(seq, message));
    if (wasAtBottom) this.toBottom();
  }

  /** Puts earlier messages in front; the view stays at the same message. */
  prepend(rows) {
    const before = this.#scroller.scrollHeight;
    for (const { seq, message } of rows) this.#rows.set(seq, message);
    this.render({ follow: false });
    this.#scroller.scrollTop += this.#scroller.scrollHeight - before;
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

  #announce(message) {
    if (isOpen(message) || !this.#shown || message.role === 'user') return;
    this.#announcer.append(el('span', {}, `${who(message)}: ${textOf(message)} `));
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
    const rows = [...this.#rows.entries()].sort(([a], [b]) => a - b);
    const waiting = this.#app.pending().filter(({ message }) => !stored.has(message.id) && !this.#sent.has(message.id));
    return [
      ...rows.map(([seq, message]) => this.#stored(seq, message)),
      ...[...this.#sent.values()].map(message => ({ key: `id:${message.id}`, message, state: 'stored' })),
      ...waiting.map(({ key, message, failed }) => ({ key: `id:${message.id}`, message, state: failed ? 'refused' : 'waiting', failed, outboxKey: key })),
    ];
  }

  render({ follow = true } = {}) {
    const wasAtBottom = this.atBottom();
    const items = this.#items();
    const views = new Map();
    for (const item of items) {
      const content = JSON.stringify(item.message);
      const old = this.#views.get(item.key);
      const view = old?.content === content ? old : { content, ...messageView(item.message, this.#app) };
      // Only a message that is new here appears; one that changes does not appear again.
      if (old && old !== view) view.element.classList.add('changed');
      view.update(item);
      views.set(item.key, view);
    }
    const grew = views.size > this.#views.size;
    this.#views = views;
    arrange(this.#list, [...views.values()].map(view => view.element));
    if (!follow) return;
    if (wasAtBottom) this.toBottom();
    else if (grew && this.#shown) this.#newest.hidden = false;
  }
}

const keyOf = (seq, message) => (typeof message.id === 'string' ? `id:${message.id}` : `seq:${seq}`);

/** Whether the message was being written when the server gave it. */
const isOpen = message => message.status === 'in_progress';

const ENDS = { stopped: ' · Stopped', failed: ' · Failed', interrupted: ' · Interrupted' };

/** How the writing of a message ended before it was finished. */
const endOf = message =>
  (message.status === 'incomplete' ? (ENDS[message.incomplete_details?.reason] ?? ' · Incomplete') : undefined);

const who = message => WHO[message.role] ?? String(message.role);

/** A message's text; content may be null, or a list of parts of which some have text. */
function textOf({ content }) {
  if (typeof content === 'string') return content;
  if (Array.isArray(content)) return content.map(part => (typeof part?.text === 'string' ? part.text : '')).join('');
  return content === null || content === undefined ? '' : JSON.stringify(content);
}

function when(timestamp) {
  const date = new Date(timestamp);
  if (typeof timestamp !== 'number' || Number.isNaN(date.getTime())) return undefined;
  const short = date.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
  return el('time', { datetime: date.toISOString(), title: date.toLocaleString() }, short);
}

function messageView(message, app) {
  const status = el('span.delivery');
  const time = when(message.timestamp);
  const end = endOf(message);
  const meta = el('p.meta', {}, el('span', {}, who(message)), time && ' · ', time, end && el('span.ended', {}, end), status);
  const text = textOf(message);
  const bubble = text !== '' || isOpen(message) ? el('p.bubble', { dir: 'auto' }, text) : undefined;
  const card = matchCard(message.tutorMatch, app.book);
  const element = el(`li.message.${['user', 'assistant'].includes(message.role) ? message.role : 'other'}`, {},
    bubble, card?.element, meta);

  let shown;
  function update({ state, failed, outboxKey, seq, written }) {
    if (bubble) {
      const whole = text + (written ?? '');
      if (bubble.textContent !== whole) bubble.textContent = whole;
      bubble.hidden = whole === '';
    }
    card?.update(bookingState(message.tutorMatch, app.booking()));
    const stuck = state === 'waiting' && app.stuck();
    const now = `${state}:${stuck}:${failed ?? ''}`;
    if (now === shown) return;
    shown = now;
    element.dataset.state = state;
    const parts = state === 'open'
      ? [' · Writing… ', el('button.inline', { type: 'button', onclick: () => app.stop(seq) }, 'Stop')]
      : delivery(state, stuck, failed, outboxKey, app);
    status.replaceChildren(...parts);
  }
  return { element, update };
}

function delivery(state, stuck, failed, key, app) {
  if (state === 'stored') return [];
  const button = (label, onclick) => el('button.inline', { type: 'button', onclick }, label);
  if (state === 'refused') {
    return [` · Not sent: ${failed} `, button('Try again', () => app.again(key)), ' ', button('Discard', () => app.discard(key))];
  }
  return stuck ? [' · Not sent yet, kept here ', button('Try now', app.hurry)] : [' · Sending…'];
}

function bookingState(match, booking) {
  if (!isBookingOf(booking, match)) return 'free';
  return booking.step === 'complete' ? 'booked' : 'booking';
}
