// Answers are Markdown, and nothing in them becomes markup.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chatTest, eventually, sessionId } from './browser.mjs';
import { EVERYTHING, ROOT } from './server.mjs';
import { test } from 'node:test';

const ANSWER = `## Steps

A *short* and **strong** \`word\`:

\`\`\`rust
let x = "<b>1 & 2</b>";
\`\`\`

- one
- two
  1. inner

| a | b |
|---|---|
| 1 | 2 |

> said

[book](https://doc.rust-lang.org/book/) and 1 &lt; 2
`;

const answer = async (server, page, content) => {
  await server.request(await sessionId(page), '/messages', 'POST', { role: 'assistant', content });
  const bubble = page.locator('.message.assistant .bubble').last();
  await eventually(async () => assert.equal(await page.locator('.message.assistant').count(), 2));
  return bubble;
};

chatTest('an answer is shown as its Markdown says, and its code can be copied', async ({ server, context, open }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await open();
  const bubble = await answer(server, page, ANSWER);
  for (const [selector, text] of [
    ['h4', 'Steps'], ['em', 'short'], ['strong', 'strong'], ['p code', 'word'], ['pre code', 'let x = "<b>1 & 2</b>";'],
    ['ul > li >> nth=0', 'one'], ['ol > li', 'inner'], ['th >> nth=0', 'a'], ['td >> nth=1', '2'], ['blockquote', 'said'], ['a', 'book'],
  ]) {
    assert.equal(await bubble.locator(selector).textContent(), text, selector);
  }
  assert.match(await bubble.textContent(), /and 1 < 2/);
  const link = bubble.getByRole('link', { name: 'book' });
  assert.equal(await link.getAttribute('href'), 'https://doc.rust-lang.org/book/');
  assert.match(await link.getAttribute('rel'), /noopener/);
  await bubble.getByRole('button', { name: 'Copy code' }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'let x = "<b>1 & 2</b>";');
}, {}, EVERYTHING);

chatTest('markup, scripts and pictures in an answer do nothing', async ({ server, open }) => {
  const page = await open();
  const asked = [];
  page.on('request', request => asked.push(request.url()));
  const bubble = await answer(server, page, [
    '<img src="https://example.com/1.png" onerror="window.hit = 1"> <b>bold</b>',
    '<script>window.hit = 1</script>',
    '![picture](https://example.com/2.png)',
    '[go](javascript:window.hit=1) [go](data:text/html,x) <javascript:alert(1)>',
  ].join('\n\n'));
  assert.equal(await bubble.locator('img, script, b').count(), 0);
  assert.deepEqual(await bubble.locator('a').evaluateAll(links => links.map(one => one.href)), ['https://example.com/2.png']);
  assert.match(await bubble.textContent(), /<img src=.*<b>bold<\/b>.*<script>window\.hit = 1<\/script>/s);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.deepEqual(asked.filter(url => url.includes('example.com')), []);
}, {}, EVERYTHING);

chatTest('what a user wrote is shown as it was typed', async ({ open, server }) => {
  const page = await open();
  const text = '    if x:\n        *go*()';
  await page.locator('#text').fill(`\n${text}\n\n`);
  await page.locator('#text').press('Enter');
  await eventually(async () => assert.equal(await page.locator('.user .bubble').textContent(), text));
  assert.equal(await page.locator('.user .bubble em').count(), 0);
  await eventually(async () => {
    const [message] = (await server.request(await sessionId(page), '/messages')).filter(one => one.role === 'user');
    assert.equal(message?.content, text);
  });
});

test('the parser in the page is the released one', () => {
  const released = path.join(import.meta.dirname, 'node_modules/marked/lib/marked.esm.js');
  const inPage = path.join(ROOT, 'apps/tutor-chat/page/marked.js');
  assert.ok(fs.readFileSync(released).equals(fs.readFileSync(inPage)));
});
