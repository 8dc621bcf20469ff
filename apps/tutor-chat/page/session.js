// The id of this tab's conversation, and the name of this browser's owner. Both are drawn here.
// Anyone with the id can read and write the conversation; anyone with the name can list it.

import { keys, read, remove, text, write } from './storage.js';

const KEY = 'chatSessionId';
const OWNER_KEY = 'chatOwner';
const MINE_KEY = 'chatMine';
const MOST_MINE = 1_000;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** `length` characters of 5 random bits each. */
export function random(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), byte => ALPHABET[byte & 31]).join('');
}

/** The id of a new conversation. */
export const makeId = () => `session-${Date.now()}-${random(26)}`;
const isId = id => typeof id === 'string' && /^[!-~]{1,256}$/.test(id) && !/[/\\?#%]/.test(id) && id !== '.' && id !== '..';

/** The name that the server lists this browser's conversations under. */
export function owner() {
  const stored = text.read(OWNER_KEY);
  if (stored && /^[!-~]{26,256}$/.test(stored)) return stored;
  const name = `owner-${random(26)}`;
  text.write(OWNER_KEY, name);
  return name;
}

/** The ids that this browser made or opened as its own, newest first. */
function mine() {
  const ids = read(MINE_KEY);
  return Array.isArray(ids) ? ids.filter(isId) : [];
}

/** Makes a conversation this browser's own. */
function keep(id) {
  text.write(KEY, id);
  if (mine()[0] !== id) write(MINE_KEY, [id, ...mine().filter(one => one !== id)].slice(0, MOST_MINE));
  return id;
}

/**
 * The session of `?session=`, or the one that this entry of the tab's history is about, or this browser's own.
 *
 * A link's session stays in the address and does not replace the browser's own, or a link sent by somebody else could
 * quietly move a person into a conversation that the sender reads.
 */
export function openSession() {
  const asked = new URLSearchParams(location.search).get('session');
  const stored = text.read(KEY);
  const own = isId(stored) ? stored : undefined;
  if (isId(asked)) {
    return { id: asked, shared: own !== undefined && own !== asked && !mine().includes(asked), refused: false };
  }
  const here = history.state?.session;
  const id = own && isId(here) && mine().includes(here) ? here : (own ?? makeId());
  history.replaceState({ session: id }, '');
  return { id: keep(id), shared: false, refused: asked !== null };
}

/** Goes to one of this browser's conversations, or begins one. The address and the history follow. */
export function goTo(id) {
  const next = keep(id ?? makeId());
  history.pushState({ session: next }, '', id ? linkTo(id) : location.pathname);
  return { id: next, shared: false, refused: false };
}

/** What this browser keeps about a conversation that is deleted: drafts, and messages on their way. */
export function forget(id) {
  for (const key of [`chatDraft:${id}`, `chatBookingDraft:${id}`, ...keys(`chatOutbox:${id}:`)]) remove(key);
  write(MINE_KEY, mine().filter(one => one !== id));
}

export function linkTo(id) {
  const url = new URL(location.pathname, location.href);
  url.searchParams.set('session', id);
  return url.href;
}
