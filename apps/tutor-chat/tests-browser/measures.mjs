// How long the page takes, for a machine at rest: `node --test measures.mjs`, with CHROMIUM. No test
// asserts a time.

import { chatTest, connected, sessionId } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const MESSAGES = 20_000;
/** So many are stored in one request, which is one commit. */
const AT_ONCE = 4_000;
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

/** Stores the messages in the conversation of this browser, while no tab shows it. */
async function fill(server, open) {
  const page = await open();
  const id = await sessionId(page);
  await page.close();
  const messages = Array.from({ length: MESSAGES }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: `line ${i}` }));
  for (let end = AT_ONCE; end <= MESSAGES; end += AT_ONCE) await server.request(id, '', 'PUT', { messages: messages.slice(0, end) });
}

chatTest(`the first message of ${MESSAGES}`, async ({ server, context, open, report }) => {
  await fill(server, open);
  const all = [];
  for (let run = 0; run < RUNS; run += 1) {
    const page = await context.newPage();
    all.push(await firstMessage(page, server.base));
    await page.close();
  }
  report(`first message of ${MESSAGES}, painted: ${listed(all)} ms`);
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
