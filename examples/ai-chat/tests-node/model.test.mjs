// Answers of a server that speaks OpenAI's chat completions: a stand-in for such a server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chat, textOf } from './client.mjs';
import { FOREIGN, Service } from './service.mjs';
import { StandIn } from './stand-in.mjs';

process.env.OPENAI_API_KEY = 'the key of a test';

// Another service has options of its own.
const modelTest = (name, answer, body) =>
  test(name, { timeout: 120_000, skip: FOREIGN && 'it needs the option --model-url' }, async () => {
    const model = await StandIn.start(answer);
    const service = await Service.start({ options: ['--model-url', model.url, '--model', 'small'] });
    try {
      await body({ model, service });
    } finally {
      await service.end();
      await model.end();
    }
  });

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

async function until(holds) {
  for (const deadline = Date.now() + 60_000; !(await holds()); await sleep(10))
    assert.ok(Date.now() < deadline, 'the condition never held');
}

const reasonOf = message => message.metadata?.incomplete_details?.reason;

modelTest('the words of a model are streamed and stored, wherever the stream is cut into pieces', async answer => {
  answer.begin();
  answer.raw(': a comment\n\n');
  const bytes = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"Grüße, "}}]}\r\n\r\ndata:{"choices":[{"delta":{"content":"Welt 🌍"}}]}\n\n');
  for (const byte of bytes) {
    answer.raw(Buffer.from([byte]));
    await sleep(1);
  }
  answer.finish();
}, async ({ model, service }) => {
  const chat = new Chat(service.api, 'words');
  await chat.sendMessage({ text: 'Hi' });
  assert.deepEqual([chat.status, chat.error], ['ready', undefined]);
  assert.equal(textOf(chat.messages[1]), 'Grüße, Welt 🌍');
  await chat.sendMessage({ text: 'And?' });
  const stored = await service.messages('words');
  assert.deepEqual(stored.map(textOf), ['Hi', 'Grüße, Welt 🌍', 'And?', 'Grüße, Welt 🌍']);
  assert.equal(reasonOf(stored[3]), undefined);
  assert.deepEqual(model.asked.map(({ path }) => path), ['/v1/chat/completions', '/v1/chat/completions']);
  assert.equal(model.asked[0].authorization, 'Bearer the key of a test');
  assert.deepEqual(model.asked[1].body, {
    model: 'small',
    stream: true,
    messages: [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Grüße, Welt 🌍' },
      { role: 'user', content: 'And?' },
    ],
  });
});

modelTest('a prompt is the part of the history that fits the budget', answer => {
  answer.begin();
  answer.word('ok');
  answer.finish('length');
}, async ({ model, service }) => {
  const chat = new Chat(service.api, 'budget');
  // 8,000 tokens are about 32,000 bytes.
  for (const text of ['a'.repeat(20_000), 'b'.repeat(20_000), 'c']) await chat.sendMessage({ text });
  const roles = model.asked.map(({ body }) => body.messages.map(({ content }) => content[0]).join(''));
  assert.deepEqual(roles, ['a', 'ob', 'oboc']);
  assert.equal((await service.messages('budget')).length, 6);
});

modelTest('a model that refuses or breaks off makes a failed answer, and the next message works', async function (answer) {
  const turn = (this.turn = (this.turn ?? 0) + 1);
  if (turn === 1) return answer.refuse(503);
  answer.begin();
  answer.word('half ');
  if (turn === 2) return answer.response.end();
  if (turn === 3) return answer.event({ error: { message: 'overloaded' } });
  if (turn === 4) {
    await sleep(50);
    return answer.cut();
  }
  answer.word('and whole');
  return answer.finish();
}, async ({ service }) => {
  const chat = new Chat(service.api, 'failing');
  for (const expected of ['', 'half ', 'half ', 'half ']) {
    await chat.sendMessage({ text: 'hi' });
    assert.equal(chat.status, 'error');
    const stored = (await service.messages('failing')).at(-1);
    assert.deepEqual([textOf(stored), reasonOf(stored)], [expected, 'failed']);
    assert.equal(textOf(chat.lastMessage), expected);
  }
  await chat.sendMessage({ text: 'hi' });
  assert.equal(chat.status, 'ready');
  assert.equal(textOf((await service.messages('failing')).at(-1)), 'half and whole');
});

for (const [when, words] of [['before its first word', 0], ['in the middle', 2]]) {
  modelTest(`a stop ${when} hangs up on the model`, answer => {
    if (words === 0) return; // It thinks forever.
    answer.begin();
    answer.word('one ');
    answer.word('two ');
  }, async ({ model, service }) => {
    const chat = new Chat(service.api, 'stopped');
    const sending = chat.sendMessage({ text: 'hi' });
    await until(() => model.asked.length === 1 && chat.messages.length === 2);
    if (words > 0) await until(() => textOf(chat.messages[1]) === 'one two ');
    await fetch(`${service.api}/stopped/stop`, { method: 'POST' });
    await sending;
    await until(() => model.left === 1);
    const stored = (await service.messages('stopped')).at(-1);
    assert.deepEqual([textOf(stored), reasonOf(stored)], [words ? 'one two ' : '', 'stopped']);
    assert.equal(chat.status, 'ready');
  });
}
