// The page: one conversation, its composer, its booking, and their connection to the server.

import { persistently, sessionApi } from './requests.js';
import { Booking } from './booking.js';
import { Conversation } from './conversation.js';
import { booked, isOpen, start } from './flow.js';
import { Live } from './live.js';
import { Outbox } from './outbox.js';
import { linkTo, openSession, random } from './session.js';
import { text as textStore } from './storage.js';

const $ = id => document.getElementById(id);
const NOTICE_MS = 4_000;
const STATUS = { connecting: 'Connecting…', connected: 'Connected', offline: 'No connection. Your messages are kept here.' };

const session = openSession();
const api = sessionApi(session.id);
let bookingInfo = null;

const outbox = new Outbox(session.id, {
  send: message => api.post(message),
  onChange: () => render(),
  onSent(message) {
    conversation.sent(message);
    live.sent(message.id);
  },
});

const conversation = new Conversation({
  pending: () => outbox.list(),
  stuck: () => outbox.stuck,
  booking: () => bookingInfo,
  book,
  again: key => outbox.again(key),
  discard: key => outbox.discard(key),
  hurry: () => outbox.hurry(),
  reply: seq => live.replies.at(seq),
  stop,
});

const booking = new Booking(session.id, {
  save: info => setBooking(info, () => api.putBookingInfo(info)),
  async cancel() {
    await setBooking(null, () => api.deleteBookingInfo(), { focus: false });
    $('text').focus();
  },
  atEnd: () => conversation.atBottom(),
  toEnd: () => conversation.toBottom(),
});

let cursor = null;
const live = new Live(api, {
  page(rows, next) {
    cursor = next;
    conversation.replace(rows);
    settle();
  },
  row(row) {
    conversation.add(row);
    settle();
  },
  grown: seq => conversation.grown(seq),
  state(fields) {
    if ('bookingInfo' in fields) bookingInfo = fields.bookingInfo;
    booking.show(bookingInfo, { focus: focusBooking });
    render();
  },
  status(status) {
    showStatus(status);
    if (status === 'connected') outbox.hurry();
  },
});

let focusBooking = false;
async function setBooking(info, request, { focus = true } = {}) {
  const news = await live.changeBooking(info, () => persistently(request));
  focusBooking = focus;
  live.state(news ? { bookingInfo: info } : {});
  focusBooking = false;
}

/** Messages that the server has leave the outbox. */
function settle() {
  outbox.confirm(conversation.storedIds);
  render();
}

function render() {
  conversation.render();
  $('starters').hidden = conversation.hasUserMessage;
  $('earlier').hidden = cursor === null;
}

function showStatus(status) {
  const element = $('status');
  if (element.dataset.status === status) return;
  element.dataset.status = status;
  element.textContent = STATUS[status];
}

let noticeTimer;
function notice(message) {
  clearTimeout(noticeTimer);
  $('notice').textContent = message;
  $('notice').hidden = false;
  noticeTimer = setTimeout(() => {
    $('notice').hidden = true;
  }, NOTICE_MS);
}

async function book(match) {
  // Another offer in the middle of a booking: the answers given so far still hold.
  const info = isOpen(bookingInfo) ? { ...bookingInfo, ...booked(match) } : start(match);
  try {
    await setBooking(info, () => api.update({ pendingMatch: match, bookingInfo: info }));
  } catch (error) {
    notice(`The booking could not be started: ${error.message}.`);
  }
}

/** The message comes as an event, as after every other end. */
async function stop(seq) {
  try {
    await persistently(() => api.stop(seq));
  } catch (error) {
    // 409: it had ended before.
    if (error.status !== 409) notice(`The answer could not be stopped: ${error.message}.`);
  }
}

// --- writing ---

const draftKey = `chatDraft:${session.id}`;
const field = $('text');

function send(content) {
  // Half an emoji, as `slice` can leave it, is not text that a server can store.
  const whole = content.toWellFormed?.() ?? content;
  outbox.add({ role: 'user', content: whole, id: random(26), timestamp: Date.now() });
  conversation.toBottom();
}

function fit() {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

$('composer').addEventListener('submit', event => {
  event.preventDefault();
  if (field.value.trim() !== '') {
    send(field.value.trim());
    field.value = '';
    textStore.write(draftKey, '');
    fit();
  }
  field.focus();
});
field.addEventListener('keydown', event => {
  // While an input method composes a character, Enter accepts it.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('composer').requestSubmit();
  }
});
field.addEventListener('input', () => {
  textStore.write(draftKey, field.value);
  fit();
});
field.value = textStore.read(draftKey) ?? '';
$('starters').addEventListener('click', event => {
  if (!event.target.matches('button')) return;
  send(event.target.textContent);
  field.focus();
});

// --- the bar ---

$('copy-link').addEventListener('click', async () => {
  const link = linkTo(session.id);
  try {
    await navigator.clipboard.writeText(link);
    notice('Link copied. Anyone who has it can read and write here.');
  } catch {
    $('link').value = link;
    $('link-dialog').showModal();
    $('link').select();
  }
});

$('reset').addEventListener('click', () => $('reset-dialog').showModal());
$('reset-dialog').addEventListener('close', async () => {
  if ($('reset-dialog').returnValue !== 'reset') return;
  $('reset-dialog').returnValue = '';
  try {
    await persistently(() => api.reset());
  } catch (error) {
    notice(`This could not be reset: ${error.message}.`);
    return;
  }
  outbox.clear();
  booking.forgetDraft();
  conversation.forgetSent();
  await live.load();
  field.focus();
});

$('earlier').addEventListener('click', async () => {
  try {
    const { rows, next } = await live.earlier(cursor);
    cursor = next;
    conversation.prepend(rows);
    render();
  } catch (error) {
    // 410: the conversation the cursor belonged to is gone.
    if (error.status === 410) live.load();
    else notice(`Earlier messages could not be loaded: ${error.message}.`);
  }
});

// --- start ---

$('shared').hidden = !session.shared;
$('own').href = location.pathname;
$('refused-link').hidden = !session.refused;
window.addEventListener('online', () => outbox.hurry());
fit();
render();
live.start();
outbox.run();
