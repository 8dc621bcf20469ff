// The id of this tab's conversation. It is made here, and anyone with the id can read and write the
// conversation.

import { text } from './storage.js';

const KEY = 'chatSessionId';
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** `length` characters of 5 random bits each. */
export function random(length) {
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), byte => ALPHABET[byte & 31]).join('');
}

const makeId = () => `session-${Date.now()}-${random(26)}`;
const isId = id => typeof id === 'string' && /^[!-~]{1,256}$/.test(id) && !/[/\\?#%]/.test(id) && id !== '.' && id !== '..';

/**
 * The session of `?session=`, or this browser's own.
 *
 * A link's session stays in the address and does not replace the browser's own, or a link sent by somebody else could
 * quietly move a person into a conversation that the sender reads.
 */
export function openSession() {
  const asked = new URLSearchParams(location.search).get('session');
  const stored = text.read(KEY);
  let own = isId(stored) ? stored : undefined;
  if (isId(asked)) return { id: asked, shared: own !== undefined && own !== asked, refused: false };
  if (!own) {
    own = makeId();
    text.write(KEY, own);
  }
  return { id: own, shared: false, refused: asked !== null };
}

export function linkTo(id) {
  const url = new URL(location.pathname, location.href);
  url.searchParams.set('session', id);
  return url.href;
}
