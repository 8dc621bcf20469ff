// The page that needs no build.

import assert from 'node:assert/strict';
import { FOREIGN, PLAIN, eventually, pageTest, say, shoot } from './browser.mjs';

const count = async page => ((await page.locator('#messages .assistant').last().textContent({ timeout: 1000 })).match(/\bw\d+\b/g) ?? []).length;
const beyond = (page, n) => eventually(async () => {
  const words = await count(page);
  assert.ok(words > n, `${words} words`);
  return words;
});

if (!FOREIGN) {
  pageTest('the plain page sends, resumes and stops', { tokens: 100_000, delayMs: 20 }, async ({ service, open }) => {
    const page = await open('plain');
    await say(page, 'hi');
    const seen = await beyond(page, 10);
    await page.reload();
    await beyond(page, seen + 10);
    await page.locator('[data-test="stop"]').click();
    await page.locator('#messages .note').waitFor();
    const shown = () => page.locator('#messages li').evaluateAll(items => items.map(item => [...item.querySelectorAll('p')].map(p => p.textContent)));
    const stored = (await service.messages('plain')).map(({ parts, metadata }) => [
      ...parts.filter(part => part.type === 'text').map(part => part.text),
      ...(metadata ? [metadata.incomplete_details.reason] : []),
    ]);
    assert.equal(stored[1][1], 'stopped');
    assert.ok(stored[1][0].startsWith('w0 w1 w2 '));
    await eventually(async () => assert.deepEqual(await shown(), stored));
    await shoot(page, 'plain');
  }, { page: PLAIN });
}
