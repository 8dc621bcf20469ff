// A stream that is dead without an error, and the state of the connection that the page shows.

import assert from 'node:assert/strict';
import {
  chatTest, connected, eventually, offline, say, sessionId, settled, shown, stored,
} from './browser.mjs';
import { Proxy } from './proxy.mjs';

/** A test with a proxy in front of the server. */
function networkTest(name, settings, body) {
  chatTest(name, async tools => {
    const proxy = await Proxy.start(tools.server.base, settings);
    try {
      await body({ ...tools, proxy, open: () => tools.open('', proxy.base) });
    } finally {
      await proxy.close();
    }
  });
}

const status = page => page.locator('#status').getAttribute('data-status');
const showing = (page, text) =>
  page.locator('#messages .bubble', { hasText: text }).first().waitFor();
const elsewhere = (server, id, content) =>
  server.request(id, '/messages', 'POST', { role: 'user', content });
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

const SILENT = 'a stream that fell silent is opened again, and nothing is missed';
networkTest(SILENT, {}, async ({ server, proxy, open, report }) => {
  const tabs = [await open(), await open()];
  const id = await sessionId(tabs[0]);
  assert.equal(proxy.open, 1);
  // The time between pings is learned from them.
  await pause(3_000);
  assert.equal(proxy.opened, 1, 'a stream with pings stays');
  proxy.silence();
  const began = Date.now();
  await elsewhere(server, id, 'nobody hears this');
  for (const tab of tabs) await showing(tab, 'nobody hears this');
  report(`with pings every second a silent stream was replaced after ${Date.now() - began} ms`);
  for (const tab of tabs) await connected(tab);
  assert.equal(proxy.open, 1);
  assert.equal(proxy.opened, 2);
});

const DEAD = 'a stream that stays silent is not called connected';
networkTest(DEAD, {}, async ({ server, proxy, open }) => {
  const tabs = [await open(), await open()];
  const id = await sessionId(tabs[0]);
  await pause(3_000);
  proxy.silence({ alsoNew: true });
  for (const tab of tabs) {
    await eventually(async () => assert.notEqual(await status(tab), 'connected'));
  }
  // A message is answered nevertheless, in the tab that sent it.
  for (const [i, tab] of tabs.entries()) {
    await say(tab, `question ${i}`);
    await settled(tab);
    const question = ['user', `question ${i}`];
    await eventually(async () => assert.deepEqual((await shown(tab)).at(-2), question));
  }
  assert.deepEqual(await stored(server, id), ['question 0', 'question 1']);
  for (const tab of tabs) assert.notEqual(await status(tab), 'connected');
  proxy.restore();
  for (const tab of tabs) {
    await connected(tab);
    await eventually(async () => assert.equal((await shown(tab)).length, 5));
  }
});

const MISSING = 'an answer that the stream does not bring is loaded';
networkTest(MISSING, { pingMs: 0 }, async ({ proxy, open, report }) => {
  const tabs = [await open(), await open()];
  // The page does not doubt the stream so soon, but it misses something.
  proxy.silence({ alsoNew: true });
  for (const [i, tab] of tabs.entries()) {
    const began = Date.now();
    await say(tab, `question ${i}`);
    await eventually(async () => {
      const [question, [who]] = (await shown(tab)).slice(-2);
      assert.deepEqual([...question, who], ['user', `question ${i}`, 'assistant']);
    });
    report(`without pings an answer that was not brought showed after ${Date.now() - began} ms`);
  }
  assert.ok(proxy.opened >= 2, 'and another stream is tried');
  // Nothing was ever heard on the new stream, not even a ping: nobody knows whether it lives.
  for (const tab of tabs) assert.notEqual(await status(tab), 'connected');
});

chatTest('a browser that goes offline says so, and catches up', async ({ server, context, open }) => {
  const tabs = [await open(), await open()];
  const id = await sessionId(tabs[0]);
  for (let round = 0; round < 2; round += 1) {
    await context.setOffline(true);
    for (const tab of tabs) await offline(tab);
    await elsewhere(server, id, `meanwhile ${round}`);
    await context.setOffline(false);
    for (const tab of tabs) {
      await connected(tab);
      await showing(tab, `meanwhile ${round}`);
    }
  }
});

chatTest('a browser that only believes to be offline stays connected', async ({ server, open }) => {
  const page = await open();
  await page.evaluate(() => window.dispatchEvent(new Event('offline')));
  await connected(page);
  await elsewhere(server, await sessionId(page), 'still here');
  await showing(page, 'still here');
});

chatTest('a page that comes back out of the browser’s cache catches up', async ({ server, open }) => {
  const page = await open();
  const id = await sessionId(page);
  await page.evaluate(() => {
    window.kept = false;
    window.addEventListener('pageshow', event => (window.kept = event.persisted));
  });
  await page.goto(`${server.base}/health`);
  await elsewhere(server, id, 'while away');
  await page.evaluate(() => history.back()).catch(() => {});
  await eventually(async () => assert.equal(await page.evaluate(() => window.kept), true));
  await showing(page, 'while away');
  await connected(page);
  await say(page, 'and on it goes');
  await eventually(async () => assert.equal((await shown(page)).length, 5));
}, { background: true });
