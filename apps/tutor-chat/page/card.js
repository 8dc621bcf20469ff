// A found tutor as a card with a button to book.

import { el } from './dom.js';

const MODES = { online: 'online', 'in-person': 'in person' };
const LABELS = { free: 'Book', booking: 'Booking…', booked: 'Booked ✓' };

const isText = value => typeof value === 'string' && value !== '';

function sameSlot(a, b) {
  return Boolean(a && b) && a.day === b.day && a.time === b.time && a.mode === b.mode;
}

/** The tutor that a booking was made with; nothing in a booking from before that was kept. */
export const tutorOf = booking => booking.tutorMatch?.tutor;

/** Whether a booking is of this match. */
export function isBookingOf(booking, match) {
  if (!booking || !match || !sameSlot(match.slot, booking.slot)) return false;
  const tutor = tutorOf(booking);
  return !tutor || tutor.id === match.tutor?.id;
}

export function slotInWords(slot) {
  return `${slot?.day ?? ''} at ${slot?.time ?? ''}, ${MODES[slot?.mode] ?? slot?.mode ?? ''}`;
}

/** The card of a match: `{element, update(state)}`; `undefined` for a value that is not a match. */
export function matchCard(match, book) {
  if (!isText(match?.tutor?.name) || !isText(match.slot?.day) || !isText(match.slot?.time)) return undefined;
  const { tutor, slot } = match;
  const skills = Array.isArray(tutor.skills) ? tutor.skills.filter(isText) : [];
  const initials = tutor.name.split(/\s+/).slice(0, 2).map(part => [...part][0]).join('');
  const fit = Number.isFinite(match.score) ? `${Math.round(Math.min(Math.max(match.score, 0), 1) * 100)} % match` : undefined;
  const button = el('button.primary', { type: 'button', onclick: () => book(match) });
  const element = el('article.card', { 'aria-label': `Tutor: ${tutor.name}` },
    el('div.avatar', { 'aria-hidden': 'true' }, initials),
    el('div.card-body', {},
      el('h2.card-name', {}, tutor.name),
      el('p.card-slot', {}, slotInWords(slot), fit && el('span.fit', {}, fit)),
      skills.length > 0 ? el('ul.skills', { 'aria-label': 'Teaches' }, ...skills.map(skill => el('li', {}, skill))) : undefined,
      isText(match.reason) ? el('p.card-reason', {}, match.reason) : undefined),
    button);

  function update(state) {
    button.textContent = LABELS[state];
    button.disabled = state !== 'free';
    if (state === 'free') button.setAttribute('aria-label', `Book ${tutor.name}, ${slotInWords(slot)}`);
    else button.removeAttribute('aria-label');
  }
  return { element, update };
}
