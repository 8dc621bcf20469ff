// The page with the real `useChat` in Chromium. After each step, what the page shows is compared with
// what is stored.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { FOREIGN, StandIn, eventually, fits, pageTest, ready, same, say, shoot, textOf, wordsBeyond } from './browser.mjs';

/** Nobody waits for the end of such an answer. */
const ENDLESS = { tokens: 100_000, delayMs: 20 };
const SHORT = { tokens: 30, delayMs: 5 };

const saying = count => Array.from({ length: count }, (_, n) => `w${n} `).join('');

pageTest('a message is sent and answered', SHORT, async ({ service, open }) => {
  const page = await open('send');
  await shoot(page, 'empty');
  await say(page, 'What is a lifetime?');
  await ready(page);
  const stored = await same(page, service, 'send');
  assert.deepEqual(stored.map(textOf), ['What is a lifetime?', saying(30)]);
  await say(page, 'And a borrow?\nIn two lines.');
  await eventually(async () => assert.equal((await same(page, service, 'send')).length, 4));
  await shoot(page, 'sent');
});

pageTest('after a refresh in the middle the text goes on, and nothing is doubled', ENDLESS, async ({ service, open }) => {
  const page = await open('refresh');
  await say(page, 'Tell me a long story');
  const before = await wordsBeyond(page, 10);
  await page.reload();
  const after = await wordsBeyond(page, before + 10);
  await shoot(page, 'refreshed');
  await page.reload();
  await wordsBeyond(page, after + 10);
  await page.locator('[data-test="stop"]').click();
  await ready(page);
  const stored = await same(page, service, 'refresh');
  assert.equal(stored.length, 2);
  await page.reload();
  await same(page, service, 'refresh');
});

pageTest('an answer whose page is refreshed comes to its end', { tokens: 300, delayMs: 20 }, async ({ service, open }) => {
  const page = await open('whole');
  await say(page, 'Tell me a story');
  await wordsBeyond(page, 5);
  await page.reload();
  const stored = await same(page, service, 'whole');
  assert.equal(textOf(stored[1]), saying(300));
});

pageTest('a second tab follows, and a stop there stops both', ENDLESS, async ({ service, open }) => {
  const first = await open('tabs');
  await say(first, 'Tell me a long story');
  await wordsBeyond(first, 5);
  const second = await open('tabs');
  const seen = await wordsBeyond(second, 5);
  await wordsBeyond(second, seen + 5);
  await wordsBeyond(first, seen + 5);
  await second.locator('[data-test="stop"]').click();
  for (const page of [first, second]) {
    await ready(page);
    const stored = await same(page, service, 'tabs');
    assert.deepEqual(stored[1].metadata, { status: 'incomplete', incomplete_details: { reason: 'stopped' } });
  }
  await shoot(first, 'stopped');
});

pageTest('a stopped answer keeps its words, and the next message works', ENDLESS, async ({ service, open }) => {
  const page = await open('stop');
  await say(page, 'Tell me a long story');
  const seen = await wordsBeyond(page, 10);
  await page.locator('[data-test="stop"]').click();
  await ready(page);
  const [, answer] = await same(page, service, 'stop');
  assert.ok(textOf(answer).startsWith(saying(seen)), 'what was shown is stored');
  await say(page, 'Another one');
  await wordsBeyond(page, 3);
  await page.locator('[data-test="stop"]').click();
  await ready(page);
  assert.equal((await same(page, service, 'stop')).length, 4);
});

pageTest('an answer is written anew, the last one and an earlier one', SHORT, async ({ service, open }) => {
  const page = await open('anew');
  await say(page, 'first');
  await ready(page);
  const [asked, answer] = await same(page, service, 'anew');
  await page.locator('[data-test="regenerate"]').click();
  await eventually(async () => {
    const stored = await same(page, service, 'anew');
    assert.equal(stored[1].id, `reply-1-to-${asked.id}`);
    assert.notEqual(stored[1].id, answer.id);
  });
  await say(page, 'second');
  await eventually(async () => assert.equal((await same(page, service, 'anew')).length, 4));
  await page.locator('[data-test="regenerate"]').first().click();
  await eventually(async () => {
    const stored = await same(page, service, 'anew');
    assert.deepEqual(stored.map(({ id }) => id), [asked.id, `reply-2-to-${asked.id}`]);
  });
});

pageTest('an earlier message is edited, and what follows it is written anew', SHORT, async ({ service, open }) => {
  const page = await open('edit');
  for (const [n, text] of ['first', 'second'].entries()) {
    await say(page, text);
    await eventually(async () => assert.equal((await same(page, service, 'edit')).length, 2 * n + 2));
  }
  const [asked] = await service.messages('edit');
  await page.reload();
  await page.locator('[data-test="edit"]').first().click();
  assert.equal(await page.locator('textarea').inputValue(), 'first');
  await shoot(page, 'editing');
  await page.locator('[data-test="cancel"]').click();
  assert.equal(await page.locator('textarea').inputValue(), '');
  await page.locator('[data-test="edit"]').first().click();
  await say(page, 'first, but better');
  await eventually(async () => {
    const stored = await same(page, service, 'edit');
    assert.deepEqual(stored.map(textOf), ['first, but better', saying(30)]);
    assert.equal(stored[0].id, asked.id);
  });
});

const TOOLS = { tokens: 12, delayMs: 5, tools: true };
const asksFor = page => page.locator('[data-test="tool"][data-state="approval-requested"]').waitFor();

pageTest('a tool call is approved after a refresh, and the answer goes on', { tokens: 150, delayMs: 20, tools: true }, async ({ service, open }) => {
  const page = await open('approve');
  await say(page, 'What is the weather?');
  await asksFor(page);
  await ready(page);
  await same(page, service, 'approve');
  await page.reload();
  await asksFor(page);
  await same(page, service, 'approve');
  await shoot(page, 'asked');
  await page.locator('[data-test="approve"]').click();
  await page.locator('[data-test="tool"][data-state="output-available"]').waitFor();
  await wordsBeyond(page, 3);
  // Also now a refresh loses nothing and doubles nothing.
  await page.reload();
  const stored = await same(page, service, 'approve');
  assert.deepEqual(stored.map(({ role }) => role), ['user', 'assistant']);
  const [call, after] = stored[1].parts.filter(part => part.type !== 'step-start').slice(-2);
  assert.deepEqual([call.state, call.approval.approved, after.text], ['output-available', true, saying(150)]);
  await shoot(page, 'approved');
});

pageTest('a tool call is approved after kill -9 and a restart', TOOLS, async ({ service, open }) => {
  const page = await open('restart');
  await say(page, 'What is the weather?');
  await asksFor(page);
  await ready(page);
  await same(page, service, 'restart');
  await service.kill();
  await service.start();
  await page.reload();
  await page.locator('[data-test="approve"]').click();
  await page.locator('[data-test="tool"][data-state="output-available"]').waitFor();
  await eventually(async () => {
    const stored = await same(page, service, 'restart');
    assert.equal(stored[1].parts.at(-1).text, saying(12));
  });
});

pageTest('a tool call is denied, and the next message asks again', TOOLS, async ({ service, open }) => {
  const page = await open('deny');
  await say(page, 'What is the weather?');
  await asksFor(page);
  await ready(page);
  await page.locator('[data-test="deny"]').click();
  await page.locator('[data-test="tool"][data-state="output-denied"]').waitFor();
  await eventually(async () => assert.equal((await same(page, service, 'deny'))[1].parts.at(-1).text, saying(12)));
  await shoot(page, 'denied');
  await say(page, 'And now?');
  await asksFor(page);
  await page.locator('[data-test="approve"]').click();
  await eventually(async () => {
    const stored = await same(page, service, 'deny');
    const states = stored.flatMap(message => message.parts).map(part => part.state);
    assert.deepEqual(states.filter(state => /^output/.test(state)), ['output-denied', 'output-available']);
  });
});

pageTest('two tabs answer one call differently: the first answer counts, and both show it', TOOLS, async ({ service, open }) => {
  const first = await open('both');
  await say(first, 'What is the weather?');
  await asksFor(first);
  await ready(first);
  const second = await open('both');
  await first.locator('[data-test="approve"]').click();
  await eventually(async () => assert.equal((await same(first, service, 'both'))[1].parts.at(-1).text, saying(12)));
  await second.locator('[data-test="deny"]').click();
  await second.locator('[data-test="tool"][data-state="output-available"]').waitFor();
  for (const tab of [second, first]) {
    const [, answer] = await same(tab, service, 'both');
    assert.ok(answer.parts.some(part => part.approval?.approved && part.state === 'output-available'));
  }
});

for (const [how, back] of [
  ['tries again', page => page.locator('[data-test="retry"]').click()],
  ['is refreshed', page => page.reload()],
]) {
  pageTest(`kill -9 in the middle and a restart: the page ${how}, and the next message works`, ENDLESS, async ({ service, open }) => {
    const page = await open('kill');
    await say(page, 'Tell me a long story');
    await wordsBeyond(page, 10);
    await service.kill();
    await page.locator('main[data-status="error"]').waitFor();
    const seen = await wordsBeyond(page, 10);
    await shoot(page, 'killed');
    service.model = SHORT;
    await service.start();
    await back(page);
    await ready(page);
    const [, answer] = await same(page, service, 'kill');
    assert.ok(textOf(answer).startsWith(saying(seen)), 'what was shown is stored');
    assert.deepEqual(answer.metadata, { status: 'incomplete', incomplete_details: { reason: 'interrupted' } });
    await say(page, 'Go on');
    await eventually(async () => {
      const stored = await same(page, service, 'kill');
      assert.equal(stored.length, 4);
      assert.equal(textOf(stored[3]), saying(30));
    });
    await shoot(page, 'restarted');
  });
}

pageTest('after kill -9 and a restart the next message works without a refresh', ENDLESS, async ({ service, open }) => {
  const page = await open('unrefreshed');
  await say(page, 'Tell me a long story');
  await wordsBeyond(page, 10);
  await service.kill();
  await page.locator('main[data-status="error"]').waitFor();
  service.model = SHORT;
  await service.start();
  await say(page, 'Go on');
  await ready(page);
  assert.equal(textOf((await service.messages('unrefreshed'))[3]), saying(30));
  await page.reload();
  assert.equal((await same(page, service, 'unrefreshed')).length, 4);
});

pageTest('a message that did not arrive is sent again, and stored once', SHORT, async ({ service, open }) => {
  const page = await open('again');
  await say(page, 'first');
  await eventually(async () => assert.equal((await same(page, service, 'again')).length, 2));
  await service.kill();
  await say(page, 'second');
  await page.locator('main[data-status="error"]').waitFor();
  await page.locator('[data-test="retry"]').click();
  await page.getByText('The service cannot be reached yet.').waitFor();
  await shoot(page, 'unsent');
  await service.start();
  await page.locator('[data-test="retry"]').click();
  await eventually(async () => {
    const stored = await same(page, service, 'again');
    assert.deepEqual(stored.map(textOf), ['first', saying(30), 'second', saying(30)]);
  });
});

pageTest('a page that loads just before an answer ends shows all of it', ENDLESS, async ({ service, open, context }) => {
  const page = await open('late');
  await say(page, 'Tell me a story');
  await wordsBeyond(page, 3);
  // The answer ends after the messages were loaded, and before the stream is asked for.
  await context.route('**/stream', async route => {
    await fetch(`${service.api}/late/stop`, { method: 'POST' });
    await route.continue();
  });
  const late = await open('late');
  for (const tab of [late, page]) {
    const [, answer] = await same(tab, service, 'late');
    assert.equal(answer.metadata.incomplete_details.reason, 'stopped');
  }
});

if (!FOREIGN) {
  const model = await StandIn.start(answer => {
    answer.begin();
    for (const word of ['Half ', 'of ', 'an ', 'answer']) answer.word(word);
    answer.event({ error: { message: 'overloaded' } });
  });
  after(() => model.end());
  pageTest('an answer that fails is marked, and can be written anew', {}, async ({ service, open }) => {
    const page = await open('failed');
    await say(page, 'Hello?');
    await page.locator('main[data-status="error"]').waitFor();
    const [, answer] = await same(page, service, 'failed');
    assert.deepEqual([textOf(answer), answer.metadata.incomplete_details.reason], ['Half of an answer', 'failed']);
    await shoot(page, 'failed');
    model.answer = answer => {
      answer.begin();
      answer.word('A whole answer');
      answer.finish();
    };
    await page.locator('[data-test="regenerate"]').click();
    await ready(page);
    assert.equal(textOf((await same(page, service, 'failed'))[1]), 'A whole answer');
  }, { options: ['--model-url', model.url, '--model', 'small'] });
}

for (const [look, options] of Object.entries({
  phone: { viewport: { width: 360, height: 700 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 },
  dark: { colorScheme: 'dark' },
})) {
  pageTest(`${look}: nothing is cut off`, TOOLS, async ({ service, open }) => {
    const page = await open(look);
    await shoot(page, `${look}-empty`);
    await say(page, 'What is the weather, and will it be good tomorrow? https://example.com/a/very/long/link/that/does/not/fit');
    await asksFor(page);
    await ready(page);
    await same(page, service, look);
    await fits(page);
    await shoot(page, `${look}-asked`);
    await page.locator('[data-test="edit"]').click();
    await fits(page);
    await shoot(page, `${look}-editing`);
  }, options);
}
