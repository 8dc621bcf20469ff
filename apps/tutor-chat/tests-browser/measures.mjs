// What the page takes, in milliseconds, on a machine at rest: `node --test measures.mjs`. No test
// asserts a time.

import { chatTest, connected, eventually, sessionId } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const MESSAGES = 20_000;
const RUNS = 5;
const LATENCY_MS = 400;

/** Notes when the first message is in the page, and painted. */
const noteFirst = () => {
  const observer = new MutationObserver(() => {
    if (!document.querySelector('#messages > li .bubble')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => (window.firstMessageAt = performance.now())));
  });
  observer.observe(document, { childList: true, subtree: true });
};

async function firstMessage(page, base) {
  await page.addInitScript(noteFirst);
  await page.goto(`${base}/`);
  await page.waitForFunction(() => window.firstMessageAt !== undefined);
  return Math.round(await page.evaluate(() => window.firstMessageAt));
}

const listed = all => {
  const sorted = [...all].sort((a, b) => a - b);
  return `${all.join(', ')}; median ${sorted[sorted.length >> 1]}`;
};

async function fill(server, page) {
  const messages = Array.from({ length: MESSAGES }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: `line ${i}` }));
  await server.request(await sessionId(page), '', 'PUT', { messages });
  await page.locator('.bubble', { hasText: `line ${MESSAGES - 1}` }).waitFor();
}

chatTest(`the first message of ${MESSAGES}`, async ({ server, context, open, report }) => {
  await fill(server, await open());
  const all = [];
  for (let run = 0; run < RUNS; run += 1) {
    const page = await context.newPage();
    all.push(await firstMessage(page, server.base));
    await page.close();
  }
  report(`first message of ${MESSAGES}, painted: ${listed(all)} ms`);
}, {}, EVERYTHING);

chatTest(`a keystroke with ${MESSAGES} messages in the page`, async ({ server, open, report }) => {
  const page = await open();
  await fill(server, page);
  const count = () => page.locator('#messages > li').count();
  for (let before = await count(); before < MESSAGES; before = await count()) {
    await page.locator('#scroller').evaluate(scroller => (scroller.scrollTop = 0));
    await page.waitForFunction(known => document.getElementById('messages').childElementCount > known, before);
  }
  await page.getByRole('button', { name: 'Jump to latest ↓' }).click();
  await page.evaluate(() => {
    window.keystrokes = [];
    // From the key to the next frame.
    document.getElementById('text').addEventListener('keydown', event => {
      requestAnimationFrame(() => setTimeout(() => window.keystrokes.push(Math.round(performance.now() - event.timeStamp))));
    });
  });
  await page.locator('#text').pressSequentially('What is a lifetime, and why does the compiler ask?', { delay: 60 });
  await eventually(async () => {
    if ((await page.evaluate(() => window.keystrokes.length)) < 50) throw new Error('not all were painted');
  });
  const all = await page.evaluate(() => window.keystrokes);
  report(`${all.length} keystrokes: ${listed(all)}, longest ${Math.max(...all)} ms`);
}, {}, EVERYTHING);

chatTest(`the greeting at round trips of ${LATENCY_MS} ms`, async ({ server, context, report }) => {
  const all = [];
  for (let run = 0; run < RUNS; run += 1) {
    const fresh = await context.browser().newContext();
    const page = await fresh.newPage();
    const network = await fresh.newCDPSession(page);
    await network.send('Network.emulateNetworkConditions', { offline: false, latency: LATENCY_MS, downloadThroughput: -1, uploadThroughput: -1 });
    all.push(await firstMessage(page, server.base));
    await connected(page);
    await fresh.close();
  }
  report(`greeting in a new browser, round trips of ${LATENCY_MS} ms: ${listed(all)} ms`);
});
