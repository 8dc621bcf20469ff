// The whole-state object passes the core scenarios, and an object that breaks the protocol does not.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import worker, { ChatSession } from '../legacy/chat-session.mjs';
import { serve } from '../legacy/serve.mjs';
import { play, scenarios } from '../play.mjs';

async function playAgainst(Class, options) {
  const server = await serve({ default: worker, ChatSession: Class });
  const lines = [];
  try {
    return { ...(await play({ base: server.base, print: line => lines.push(line), ...options })), lines };
  } finally {
    await server.close();
  }
}

test('the whole-state object passes every core scenario', async () => {
  const core = scenarios().filter(scenario => !scenario.extends).length;
  const { passed, failed, lines } = await playAgainst(ChatSession, { only: 'core' });
  assert.equal(failed, 0, lines.join('\n'));
  assert.ok(core > 25);
  assert.equal(passed, core);
});

test('what the extended protocol adds is reported as a difference', async () => {
  const { failed, differs, lines } = await playAgainst(ChatSession, { legacy: true });
  assert.equal(failed, 0, lines.join('\n'));
  for (const file of ['06-delete', '07-paging', '08-retry', '09-versions', '10-events', '11-refusals']) {
    assert.ok(differs.some(name => name.startsWith(file)), file);
  }
});

const change = edit => class extends ChatSession {
  async fetch(request) {
    return edit(await super.fetch(request), request, this);
  }
};
const remade = async (answer, edit) => new Response(JSON.stringify(edit(await answer.json())), answer);

const BROKEN = {
  'acknowledges a message and does not keep it': class extends ChatSession {
    async messages(request) {
      return request.method === 'POST' ? Response.json({ success: true, message: await request.json() }) : super.messages(request);
    }
  },
  'drops fields of a message that it does not know': class extends ChatSession {
    async load() {
      const state = await super.load();
      state.messages = state.messages.map(({ role, content, timestamp, tutorMatch }) => JSON.parse(JSON.stringify({ role, content, timestamp, tutorMatch })));
      return state;
    }
  },
  'puts the newest message first': change((answer, request) =>
    request.method === 'GET' && request.url.endsWith('/messages') ? remade(answer, list => list.reverse()) : answer),
  'answers times in seconds': change((answer, request) =>
    request.method === 'GET' && request.url.endsWith('/state') ? remade(answer, state => ({ ...state, createdAt: Math.floor(state.createdAt / 1000) })) : answer),
  'shares one state between all sessions': class extends ChatSession {
    static shared = null;
    async load() {
      this.state = this.constructor.shared ?? (await super.load());
      this.constructor.shared = this.state;
      return this.state;
    }
  },
  'stores {} for a deleted field': class extends ChatSession {
    async field(request, route) {
      const answer = await super.field(request, route);
      if (request.method === 'DELETE') this.state[route.field] = {};
      return answer;
    }
  },
  'adds given messages to the list instead of replacing it': class extends ChatSession {
    async whole(request) {
      const before = (await this.load()).messages;
      const answer = await super.whole(request);
      if (request.method === 'PUT' && this.state.messages !== before) this.state.messages = [...before, ...this.state.messages];
      return answer;
    }
  },
  'answers wrong methods without Allow': change(answer => {
    answer.headers.delete('allow');
    return answer;
  }),
  'answers errors as plain text': change(answer => {
    if (!answer.ok) answer.headers.set('content-type', 'text/plain');
    return answer;
  }),
  'forgets to reset the fields': class extends ChatSession {
    async reset(request) {
      const { lastSearchCriteria } = await this.load();
      const answer = await super.reset(request);
      this.state.lastSearchCriteria = lastSearchCriteria;
      return answer;
    }
  },
};

for (const [fault, Class] of Object.entries(BROKEN)) {
  test(`an object that ${fault} does not pass`, async () => {
    const { failed, lines } = await playAgainst(Class, { only: 'core' });
    assert.ok(failed > 0, lines.join('\n'));
  });
}
