// The routes of a session, and those of the conversations of this browser's owner.

import { owner } from './session.js';

const TIMEOUT_MS = 15_000;

/** A request that failed; `status` is 0 when there was no answer at all. */
export class ApiError extends Error {
  constructor(status, message, retryAfterMs = 0) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }

  /** True when the same request may succeed later. */
  get transient() {
    return this.status === 0 || this.status === 408 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

async function refusal(response) {
  const seconds = Number(response.headers.get('retry-after'));
  let message = `the server answered ${response.status}`;
  try {
    const { error } = await response.json();
    if (typeof error === 'string' && error) message = error;
  } catch {
    // Not our server's JSON, such as a proxy's page: the status has to do.
  }
  return new ApiError(response.status, message, Number.isFinite(seconds) ? seconds * 1000 : 0);
}

async function request(method, path, body, { keepalive = false } = {}) {
  const headers = { 'chat-owner': owner() };
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      keepalive,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new ApiError(0, error.name === 'TimeoutError' ? 'the server took too long' : 'the server cannot be reached');
  }
  if (!response.ok) throw await refusal(response);
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, 'the answer broke off');
  }
}

const query = fields => new URLSearchParams(Object.entries(fields).filter(([, value]) => value)).toString();

export function sessionApi(id) {
  const base = `api/chat/session/${encodeURIComponent(id)}`;
  const send = (method, path, ...rest) => request(method, base + path, ...rest);
  return {
    eventsUrl: new URL(`${base}/events`, document.baseURI).href,
    page: (limit, before) => send('GET', `/messages?${query({ limit, before })}`),
    stop: seq => send('POST', `/replies/${seq}/stop`),
    post: message => send('POST', '/messages', message),
    bookingInfo: () => send('GET', '/booking-info'),
    putBookingInfo: info => send('PUT', '/booking-info', info),
    deleteBookingInfo: () => send('DELETE', '/booking-info'),
    update: fields => send('PUT', '', fields),
    reset: () => send('POST', '/reset'),
    fork: (newId, through) => send('POST', '/fork', { id: newId, through }),
    rename: title => send('PUT', '/labels', { title }),
    /** With `last`, the request outlives the page. */
    remove: ({ last = false } = {}) => send('DELETE', '', undefined, { keepalive: last }),
  };
}

/** A page of the owner's conversations, newest first: `{sessions, next}`. */
export const listSessions = (limit, cursor) => request('GET', `api/chat/sessions?${query({ limit, cursor })}`);

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** Doubling from half a second up to `most`, spread so that many pages do not come back at once. */
export function backOff(attempt, most = 15_000) {
  const full = Math.min(500 * 2 ** Math.min(attempt, 10), most);
  return full * (0.75 + Math.random() / 2);
}

/** Tries a request that may be repeated safely a few times before giving up. */
export async function persistently(send, tries = 3) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await send();
    } catch (error) {
      if (!error.transient || attempt + 1 >= tries) throw error;
      await sleep(Math.max(backOff(attempt), error.retryAfterMs));
    }
  }
}
