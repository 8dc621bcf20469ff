// A class of the same name that stores values as a JavaScript object would: POST /{object}/{value},
// with the name of a value in STATES.

const times = { createdAt: 1763264606917, lastAccessedAt: 1763267948600 };
const app = { pendingMatch: null, lastSearchCriteria: undefined, availableTutorsList: [], bookingInfo: { slot: { day: null } } };
const message = (n) => ({ role: n % 2 ? 'assistant' : 'user', content: `message ${n} ${'x'.repeat(60)}` });
const many = (count) => Array.from({ length: count }, (_, n) => message(n));

export const STATES = {
  odd: {
    messages: [
      { role: 'assistant', content: 'Hi! 👋 👩‍👩‍👧‍👦', tutorMatch: undefined, nested: { a: null, b: [null, undefined, {}] } },
      { role: 'user', content: null, big: 9007199254740991, negative: -2147483649, fraction: 0.1, nul: 'a\u0000b' },
      { role: 'user', content: 'cut in half: \ud83d', when: new Date(1763264606917), not: NaN },
      { role: 'tool', content: [{ type: 'text', text: 'é \\ud83d' }], id: 'call-1' },
    ],
    ...app,
    ...times,
  },
  thousand: { messages: many(1000), ...app, ...times },
  // Just under what one value may hold (2.2 MB of Latin-1 in the oldest platform version).
  large: { messages: many(17_000), ...app, ...times },
  wide: { messages: Array.from({ length: 3100 }, () => ({ role: 'user', content: `${'z'.repeat(298)}é中` })), ...app, ...times },
  'not-a-state': { messages: 'none' },
  number: 7,
  'bad-message': { messages: [{ content: 'no role' }], ...app, ...times },
};

export class ChatSession {
  constructor(ctx) {
    this.storage = ctx.storage;
  }

  async fetch(request) {
    const name = new URL(request.url).pathname.split('/').pop();
    if (name === 'read') return Response.json({ value: (await this.storage.get('chatState')) ?? null });
    await this.storage.put('chatState', STATES[name]);
    return Response.json({ stored: name });
  }
}

export default {
  fetch(request, env) {
    const object = new URL(request.url).pathname.split('/')[1];
    return env.CHAT_SESSION.get(env.CHAT_SESSION.idFromName(object)).fetch(request);
  },
};
