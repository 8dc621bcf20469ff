// The page: the conversation that is open, the list of the others, and the composer.

import { Chat } from './chat.js';
import { ask, notice } from './dialogs.js';
import { Outbox } from './outbox.js';
import { persistently, sessionApi } from './requests.js';
import { goTo, linkTo, makeId, openSession } from './session.js';
import { Sidebar } from './sidebar.js';
import { text as textStore } from './storage.js';

const $ = id => document.getElementById(id);
const STATUS = { connecting: 'Connecting…', connected: 'Connected', offline: 'No connection. Your messages are kept here.' };
/** A message is at most 1 MiB on the server, its id and the rest of it included. */
const LONGEST = 1_000_000;

let chat;
let closing = new AbortController();

// --- which conversation ---

function show(session) {
  closing.abort();
  closing = new AbortController();
  $('shared').hidden = !session.shared;
  $('refused-link').hidden = !session.refused;
  $('starters').hidden = true;
  showStatus('connecting');
  chat = new Chat(session, page, closing.signal);
  field.value = textStore.read(draftKey()) ?? '';
  fit();
  sidebar.select(session.id);
  showTitle();
  chat.start();
}

const page = {
  rendered(one) {
    if (one !== chat) return;
    $('starters').hidden = !one.isNew;
    $('earlier').hidden = !one.hasEarlier;
  },
  async stored(one) {
    if (one.session.shared) return;
    const text = one.firstText;
    await sidebar.refresh({ tell: true });
    await sidebar.suggest(one.session.id, text);
  },
  status: showStatus,
  notice,
  toComposer: () => field.focus(),
  mayFork: one => sidebar.available === true && !one.isNew,
  fork,
};

const sidebar = new Sidebar({
  open(id) {
    closeDrawer();
    if (id !== chat.session.id) show(goTo(id));
  },
  gone: () => show(goTo()),
  changed() {
    if (!chat) return;
    showTitle();
    $('menu').hidden = sidebar.available !== true;
  },
});

/** A conversation of its own with everything up to this message. */
async function fork(seq) {
  const id = makeId();
  try {
    await persistently(() => chat.api.fork(id, seq));
  } catch (error) {
    notice(`The conversation could not be copied: ${error.message}.`);
    return;
  }
  show(goTo(id));
  await sidebar.refresh({ tell: true });
  notice('This is a copy up to that message. The other conversation stays as it is.');
}

function begin() {
  closeDrawer();
  if (!chat.isNew || chat.session.shared) show(goTo());
  field.focus();
}

function showTitle() {
  const title = chat.session.shared ? undefined : sidebar.titleOf(chat.session.id);
  $('title').textContent = title ?? 'Tutor chat';
  document.title = title ? `${title} – Tutor chat` : 'Tutor chat';
}

for (const button of document.querySelectorAll('.new-chat')) button.addEventListener('click', begin);
window.addEventListener('popstate', () => {
  const session = openSession();
  if (session.id !== chat.session.id) show(session);
});

// --- the drawer, where the list has no room of its own ---

const wide = window.matchMedia('(min-width: 56rem)');

function openDrawer() {
  document.body.classList.add('drawer');
  drawn();
  $('search').focus();
}

function closeDrawer() {
  if (!document.body.classList.contains('drawer')) return;
  document.body.classList.remove('drawer');
  drawn();
  $('menu').focus();
}

/** What is covered or out of sight is out of reach. */
function drawn() {
  const open = document.body.classList.contains('drawer');
  $('sidebar').inert = !wide.matches && !open;
  $('chat').inert = !wide.matches && open;
  $('menu').setAttribute('aria-expanded', String(open));
}

$('menu').addEventListener('click', openDrawer);
$('shade').addEventListener('click', closeDrawer);
$('close-menu').addEventListener('click', closeDrawer);
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') closeDrawer();
});
wide.addEventListener('change', () => {
  document.body.classList.remove('drawer');
  drawn();
});

// --- the connection ---

function showStatus(status) {
  const element = $('status');
  if (element.dataset.status === status) return;
  element.dataset.status = status;
  element.textContent = STATUS[status];
}

// --- writing ---

const draftKey = () => `chatDraft:${chat.session.id}`;
const field = $('text');

function fit() {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + field.offsetHeight - field.clientHeight}px`;
}

$('composer').addEventListener('submit', event => {
  event.preventDefault();
  // Indentation is part of what was pasted; empty lines around it are not.
  const content = field.value.replace(/^(\s*\n)+/, '').trimEnd();
  const bytes = new TextEncoder().encode(content).length;
  if (bytes > LONGEST) {
    notice(`This message has ${bytes.toLocaleString()} bytes, and ${LONGEST.toLocaleString()} are possible. Please send it in parts.`);
  } else if (content !== '') {
    chat.send(content);
    field.value = '';
    textStore.write(draftKey(), '');
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
  textStore.write(draftKey(), field.value);
  fit();
});
$('starters').addEventListener('click', event => {
  const starter = event.target.closest('button');
  if (!starter) return;
  chat.send(starter.dataset.text);
  field.focus();
});

// --- the bar ---

$('copy-link').addEventListener('click', async () => {
  const link = linkTo(chat.session.id);
  try {
    await navigator.clipboard.writeText(link);
    notice('Link copied. Anyone who has it can read and write here.');
  } catch {
    $('link').value = link;
    $('link-dialog').showModal();
    $('link').select();
  }
});

$('reset').addEventListener('click', async () => {
  if (!(await ask('reset'))) return;
  try {
    await chat.reset();
  } catch (error) {
    notice(`This could not be reset: ${error.message}.`);
    return;
  }
  sidebar.refresh({ tell: true });
  field.focus();
});

$('earlier').addEventListener('click', () => chat.earlier());

// --- start ---

$('own').href = location.pathname;
window.addEventListener('resize', fit);
window.addEventListener('online', () => chat.hurry());
drawn();
show(openSession());
sidebar.refresh();
// Messages that wait in other conversations of this browser go out, too.
for (const id of Outbox.sessions()) {
  if (id !== chat.session.id) {
    new Outbox(id, { send: message => sessionApi(id).post(message), onChange() {}, onSent() {} }, AbortSignal.abort()).run();
  }
}
