// One message as the page shows it.

import { el } from './dom.js';
import { isBookingOf, matchCard } from './card.js';
import { Markdown, copyText } from './markdown.js';

const WHO = { user: 'You', assistant: 'Assistant' };
const ENDS = { stopped: 'Stopped', failed: 'Failed', interrupted: 'Interrupted' };

export const who = message => WHO[message.role] ?? String(message.role);

/** Whether the message was being written when the server gave it. */
export const isOpen = message => message.status === 'in_progress';

/** A message's text. Its content may be null, or a list of parts of which some have no text. */
export function textOf({ content, parts, tool_calls: calls }) {
  const text = [content, parts].map(textIn).find(one => one !== '') ?? '';
  if (text !== '' || !Array.isArray(calls)) return text;
  return calls.map(call => `[${call?.function?.name ?? 'a call'}]`).join(' ');
}

function textIn(content) {
  if (typeof content === 'string') return content;
  if (content === null || content === undefined) return '';
  if (!Array.isArray(content)) return JSON.stringify(content);
  const texts = content.map(part => (typeof part === 'string' ? part : part?.text)).filter(text => typeof text === 'string');
  if (texts.length > 0) return texts.join('');
  return content.filter(part => typeof part?.type === 'string').map(part => `[${part.type}]`).join(' ');
}

/** When a message was sent, if it says so. */
export function dateOf({ timestamp }) {
  const date = new Date(timestamp);
  return typeof timestamp !== 'number' || Number.isNaN(date.getTime()) ? undefined : date;
}

function when(message) {
  const date = dateOf(message);
  if (!date) return undefined;
  const short = date.toLocaleTimeString([], { hour: 'numeric', minute: '2-digit' });
  return el('time', { datetime: date.toISOString(), title: date.toLocaleString() }, short);
}

/** How the writing of a message ended before it was finished. */
const endOf = message =>
  (message.status === 'incomplete' ? (ENDS[message.incomplete_details?.reason] ?? 'Incomplete') : undefined);

/** What the user wrote is shown as it was typed; everything else as Markdown. */
class Plain {
  element = el('p.bubble', { dir: 'auto' });

  show(text) {
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}

/** The message's element, and `update(item)` for what changes about it. */
export function messageView(message, app) {
  const role = ['user', 'assistant'].includes(message.role) ? message.role : 'other';
  const text = textOf(message);
  const bubble = role === 'user' ? new Plain() : new Markdown();
  const card = matchCard(message.tutorMatch, app.book);
  const nothing = el('p.nothing', {}, 'No text');
  const status = el('span.delivery');
  const end = endOf(message);
  const copy = el('button.inline.act', { type: 'button', onclick: () => copyText(text, copy) }, 'Copy');
  const fork = el('button.inline.act', { type: 'button' }, 'Continue from here');
  const facts = [el(role === 'other' ? 'span' : 'span.visually-hidden', {}, who(message)),
    when(message), end && el('span.ended', {}, end), status];
  const acts = [text === '' ? undefined : copy, fork];
  // The facts stand at the edge, where the message stands.
  const meta = el('p.meta', {}, ...(role === 'user' ? [...acts, ...facts] : [...facts, ...acts]));
  const day = el('p.day');
  const element = el(`li.message.${role}`, {}, day,
    role === 'user' ? undefined : el('span.avatar', { 'aria-hidden': 'true' }),
    el('div.body', {}, bubble.element, nothing, card?.element, meta));

  let shown;
  fork.addEventListener('click', () => app.fork(shown.seq));
  function update(item) {
    const { state, failed, seq, written } = item;
    const whole = text + (written ?? '');
    bubble.show(whole);
    bubble.element.hidden = whole === '';
    nothing.hidden = whole !== '' || Boolean(card) || state === 'open';
    if (day.textContent !== (item.day ?? '')) day.textContent = item.day ?? '';
    day.hidden = !item.day;
    card?.update(bookingState(message.tutorMatch, app.booking()));
    fork.hidden = state !== 'stored' || seq === undefined || role === 'user' || !app.mayFork();
    const stuck = state === 'waiting' && app.stuck();
    const now = `${state}:${stuck}:${failed ?? ''}`;
    const before = shown?.now;
    shown = { seq, now };
    if (now === before) return;
    element.dataset.state = state;
    copy.hidden = state !== 'stored';
    status.replaceChildren(...delivery(item, stuck, app));
  }
  return { element, update };
}

function delivery({ state, failed, outboxKey, seq }, stuck, app) {
  const button = (label, onclick) => el('button.inline', { type: 'button', onclick }, label);
  if (state === 'stored') return [];
  if (state === 'open') return ['Writing… ', button('Stop', () => app.stop(seq))];
  if (state === 'refused') {
    return [`Not sent: ${failed} `, button('Try again', () => app.again(outboxKey)), ' ', button('Discard', () => app.discard(outboxKey))];
  }
  return stuck ? ['Not sent yet, kept here ', button('Try now', app.hurry)] : ['Sending…'];
}

function bookingState(match, booking) {
  if (!isBookingOf(booking, match)) return 'free';
  return booking.step === 'complete' ? 'booked' : 'booking';
}
