// The conversations of this browser's owner, newest first: open, rename, delete, find by title.

import { arrange, el } from './dom.js';
import { hide, notice } from './dialogs.js';
import { inWords } from './conversation.js';
import { listSessions, persistently, sessionApi } from './requests.js';
import { textOf } from './message.js';
import { forget, linkTo } from './session.js';

const PAGE = 30;
/** A search looks at titles, so it wants many at once. */
const SEARCH_PAGE = 200;
const UNDO_MS = 6_000;
const WEEK_MS = 7 * 86_400_000;
const TITLE_BYTES = 1024;

const $ = id => document.getElementById(id);

export class Sidebar {
  #on;
  #list = $('sessions');
  #sessions = new Map();
  #next = null;
  #current;
  #loading = null;
  #again = false;
  /** Conversations that go when the time to take it back is over: id to timer. */
  #leaving = new Map();
  #renaming = null;
  /** Tabs tell each other that a list is old. */
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel('chat-list:1') : null;
  /** Whether the server lists conversations; unknown until it has answered. */
  available = undefined;

  /** `on`: `open(id)`, `gone(id)`, `changed()`. */
  constructor(on) {
    this.#on = on;
    $('search').addEventListener('input', () => {
      this.#render();
      if (this.#query !== '') this.#all();
    });
    this.#list.addEventListener('click', event => {
      const link = event.target.closest('a');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      on.open(link.dataset.id);
    });
    $('more-sessions').addEventListener('click', () => this.#more(PAGE));
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.refresh();
    });
    window.addEventListener('pagehide', () => {
      for (const id of this.#leaving.keys()) this.#remove(id, { last: true });
    });
    this.#channel?.addEventListener('message', () => this.refresh());
  }

  /** Marks the conversation that is open. */
  select(id) {
    this.#current = id;
    this.#render();
  }

  titleOf(id) {
    const session = this.#sessions.get(id);
    return session && titleOf(session);
  }

  /** Gives a conversation that has no title one made of its first message. */
  async suggest(id, text) {
    const session = this.#sessions.get(id);
    if (!session || session.title !== null || !text) return;
    await this.#rename(id, shorten(text)).catch(() => {
      // It goes by its last message until the next time.
    });
  }

  /** Loads the newest conversations again; tells other tabs if this one has changed something. */
  async refresh({ tell = false } = {}) {
    if (tell) this.#channel?.postMessage('changed');
    this.#again = true;
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    return this.#loading;
  }

  async #load() {
    while (this.#again) {
      this.#again = false;
      try {
        const { sessions, next } = await listSessions(PAGE);
        this.available = true;
        const seen = new Set(sessions.map(({ id }) => id));
        // Of those further down, only what came before the end of this page can still be there.
        const last = sessions.at(-1)?.changedAt ?? Infinity;
        const older = next === null ? [] : [...this.#sessions.values()].filter(one => !seen.has(one.id) && one.changedAt <= last);
        if (older.length === 0) this.#next = next;
        this.#sessions = new Map([...sessions, ...older].map(session => [session.id, session]));
      } catch (error) {
        // A server without the route, such as one in front of a Worker.
        if ([400, 404, 405].includes(error.status)) this.available = false;
      }
      this.#render();
      this.#on.changed();
    }
  }

  async #more(limit) {
    if (this.#next === null) return;
    try {
      const { sessions, next } = await listSessions(limit, this.#next);
      for (const session of sessions) this.#sessions.set(session.id, session);
      this.#next = next;
    } catch (error) {
      // 400: the cursor is of another server.
      if (error.status === 400) this.#next = null;
      else notice(`More conversations could not be loaded: ${error.message}.`);
    }
    this.#render();
  }

  /** A search is of all titles. */
  async #all() {
    const query = this.#query;
    while (this.#next !== null && this.#query === query) {
      const before = this.#next;
      await this.#more(SEARCH_PAGE);
      if (this.#next === before) return;
    }
  }

  get #query() {
    return $('search').value.trim().toLocaleLowerCase();
  }

  #shown() {
    const query = this.#query;
    return [...this.#sessions.values()]
      .filter(({ id }) => !this.#leaving.has(id))
      .filter(session => query === '' || titleOf(session).toLocaleLowerCase().includes(query))
      .sort((a, b) => (b.changedAt ?? 0) - (a.changedAt ?? 0));
  }

  #render() {
    document.body.classList.toggle('has-sidebar', this.available === true);
    if (this.#renaming) return;
    const groups = new Map();
    for (const session of this.#shown()) {
      const group = groupOf(session.changedAt);
      groups.set(group, [...(groups.get(group) ?? []), session]);
    }
    // A row that stays keeps the focus.
    const rows = new Map([...this.#list.querySelectorAll('li')].map(row => [row.dataset.key, row]));
    arrange(this.#list, [...groups].map(([name, sessions]) => {
      const id = `group-${name.replaceAll(' ', '-').toLowerCase()}`;
      const section = document.getElementById(id)?.parentElement ?? el('section', { 'aria-labelledby': id }, el('h2', { id }, name), el('ul'));
      arrange(section.querySelector('ul'), sessions.map(session => {
        const key = JSON.stringify([session.id, titleOf(session), session.id === this.#current]);
        return rows.get(key) ?? this.#row(session, key);
      }));
      return section;
    }));
    $('no-sessions').hidden = groups.size > 0;
    $('no-sessions').textContent = this.#query === '' ? 'Your conversations appear here.' : 'No title has this text.';
    $('more-sessions').hidden = this.#next === null || this.#query !== '';
  }

  #row(session, key) {
    const title = titleOf(session);
    const current = session.id === this.#current ? 'page' : undefined;
    return el('li', { 'data-key': key },
      el('a', { href: linkTo(session.id), 'data-id': session.id, 'aria-current': current, title, dir: 'auto' }, title),
      el('button.icon', { type: 'button', 'aria-label': `Rename ${title}`, title: 'Rename', onclick: () => this.#edit(session) }, '✎'),
      el('button.icon', { type: 'button', 'aria-label': `Delete ${title}`, title: 'Delete', onclick: () => this.#leave(session) }, '✕'));
  }

  /** Puts a field in the place of the title. */
  #edit(session) {
    const row = [...this.#list.querySelectorAll('a')].find(link => link.dataset.id === session.id).parentElement;
    const field = el('input', { type: 'text', 'aria-label': 'Title', dir: 'auto' });
    field.value = titleOf(session);
    const before = [...row.childNodes];
    const done = async save => {
      if (this.#renaming !== session.id) return;
      this.#renaming = null;
      const title = field.value.trim();
      row.replaceChildren(...before);
      row.querySelector('a').focus();
      if (!save || title === '' || title === titleOf(session)) return;
      try {
        await this.#rename(session.id, shorten(title, TITLE_BYTES));
      } catch (error) {
        notice(`The title could not be saved: ${error.message}.`);
      }
    };
    field.addEventListener('keydown', event => {
      if (event.isComposing || !['Enter', 'Escape'].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      done(event.key === 'Enter');
    });
    field.addEventListener('blur', () => done(true));
    this.#renaming = session.id;
    row.replaceChildren(field);
    field.select();
  }

  async #rename(id, title) {
    await persistently(() => sessionApi(id).rename(title));
    const session = this.#sessions.get(id);
    if (session) session.title = title;
    this.#render();
    this.#on.changed();
    this.refresh({ tell: true });
  }

  /** Hides a conversation; it is deleted when the time to take it back is over. */
  #leave({ id }) {
    this.#leaving.set(id, setTimeout(() => this.#remove(id), UNDO_MS));
    this.#render();
    if (id === this.#current) this.#on.gone(id);
    notice('The conversation is deleted.', {
      ms: UNDO_MS,
      undo: () => {
        clearTimeout(this.#leaving.get(id));
        this.#leaving.delete(id);
        this.#on.open(id);
      },
    });
    $('search').focus();
  }

  async #remove(id, { last = false } = {}) {
    clearTimeout(this.#leaving.get(id));
    hide();
    try {
      await (last ? sessionApi(id).remove({ last }) : persistently(() => sessionApi(id).remove()));
      this.#sessions.delete(id);
      forget(id);
    } catch (error) {
      notice(`The conversation could not be deleted: ${error.message}.`);
    }
    this.#leaving.delete(id);
    this.refresh({ tell: true });
  }
}

/** A title that was given, or what was said last. */
function titleOf({ title, last }) {
  return (title ?? (last && shorten(textOf(last.message)))) || 'New conversation';
}

/** The first line, cut at a word, in at most so many bytes. */
function shorten(text, most = 60) {
  const line = text.trim().split(/\n/, 1)[0];
  const size = value => new TextEncoder().encode(value).length;
  if (size(line) <= most) return line;
  let short = [...line].slice(0, most);
  while (size(short.join('')) > most - 3) short = short.slice(0, -1);
  const cut = short.join('');
  const word = cut.lastIndexOf(' ');
  return `${word > most / 2 ? cut.slice(0, word) : cut}…`;
}

function groupOf(changedAt) {
  const day = inWords(new Date(changedAt ?? 0));
  if (day === 'Today' || day === 'Yesterday') return day;
  return Date.now() - changedAt < WEEK_MS ? 'Last seven days' : 'Earlier';
}
