// The Durable Object that the library takes over from. The whole state is one value under the
// storage key `chatState`, read once, kept in memory and written again on every change. It shows
// which part of the protocol such services have, and writes the storage that a takeover reads. Its
// known weaknesses are kept.
//
// It runs in workerd (`ctx.storage` of a Durable Object) and, through serve.mjs, in Node.

export const GREETING =
  "Hi! 👋 I'm your AI scheduling assistant. Tell me what you need help with, and when, and I'll find you a tutor.";

const FIELDS = {
  '/pending-match': { field: 'pendingMatch', methods: ['GET', 'PUT', 'DELETE'] },
  '/booking-info': { field: 'bookingInfo', methods: ['GET', 'PUT', 'DELETE'] },
  '/search-criteria': { field: 'lastSearchCriteria', methods: ['PUT'] },
  '/available-tutors': { field: 'availableTutorsList', methods: ['PUT'] },
};

function initialState() {
  const now = Date.now();
  return {
    messages: [{ role: 'assistant', content: GREETING }],
    pendingMatch: null,
    lastSearchCriteria: null,
    availableTutorsList: [],
    bookingInfo: null,
    createdAt: now,
    lastAccessedAt: now,
  };
}

const json = (value, status = 200, headers = {}) =>
  new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json', ...headers } });
const notFound = () => json({ error: 'not found' }, 404);
const wrongMethod = methods => json({ error: 'method not allowed' }, 405, { allow: methods.join(', ') });

export class ChatSession {
  constructor(ctx) {
    this.storage = ctx.storage;
    this.state = null;
  }

  async load() {
    this.state ??= (await this.storage.get('chatState')) ?? initialState();
    this.state.lastAccessedAt = Date.now();
    return this.state;
  }

  async save() {
    await this.storage.put('chatState', this.state);
  }

  async fetch(request) {
    try {
      return await this.route(request, new URL(request.url).pathname);
    } catch (error) {
      return json({ error: String(error.message) }, 500);
    }
  }

  async route(request, path) {
    if (path === '/state') return this.whole(request);
    if (path === '/messages') return this.messages(request);
    if (path === '/reset') return this.reset(request);
    return Object.hasOwn(FIELDS, path) ? this.field(request, FIELDS[path]) : notFound();
  }

  async whole(request) {
    if (request.method === 'GET') return json(await this.load());
    if (request.method !== 'PUT') return wrongMethod(['GET', 'PUT']);
    const given = await request.json();
    this.state = { ...(await this.load()), ...given, lastAccessedAt: Date.now() };
    await this.save();
    return json({ success: true, state: this.state });
  }

  async messages(request) {
    if (request.method === 'GET') return json((await this.load()).messages);
    if (request.method !== 'POST') return wrongMethod(['GET', 'POST']);
    const message = await request.json();
    (await this.load()).messages.push(message);
    await this.save();
    return json({ success: true, message });
  }

  async field(request, { field, methods }) {
    if (!methods.includes(request.method)) return wrongMethod(methods);
    if (request.method === 'GET') return json((await this.load())[field]);
    const value = request.method === 'PUT' ? await request.json() : null;
    (await this.load())[field] = value;
    await this.save();
    return json({ success: true });
  }

  async reset(request) {
    if (request.method !== 'POST') return wrongMethod(['POST']);
    this.state = initialState();
    await this.save();
    return json({ success: true });
  }
}

/** The Worker in front: `{id}` goes through `idFromName`, the object sees the rest of the path. */
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname === '/health') {
      return request.method === 'GET' ? json({ status: 'ok', service: 'chat-session' }) : wrongMethod(['GET']);
    }
    const [, id, rest] = url.pathname.match(/^\/api\/chat\/session\/([^/]+)(\/.*)?$/) ?? [];
    if (id === undefined) return notFound();
    url.pathname = rest ?? '/state';
    const object = env.CHAT_SESSION.get(env.CHAT_SESSION.idFromName(decodeURIComponent(id)));
    return object.fetch(new Request(url, request));
  },
};
