// Tabs of one browser share one event stream, also after the tab with the stream is gone.

import assert from 'node:assert/strict';
import {
  beginBooking, chatTest, connected, eventually, findTutor, say, sessionId, settled, shown, stored,
  written,
} from './browser.mjs';

/** Event streams that the server counts. */
async function streams(server) {
  const metrics = await (await fetch(`${server.base}/metrics`)).text();
  return Number(metrics.match(/^http_event_streams (\d+)$/m)[1]);
}

const oneStream = server => eventually(async () => assert.equal(await streams(server), 1));

/** Says which tab has asked for the event stream last. */
function holderOf(context) {
  let holder;
  context.on('request', request => {
    if (request.url().endsWith('/events')) holder = request.frame().page();
  });
  return () => holder;
}

async function lifecycle(context, page, state) {
  const session = await context.newCDPSession(page);
  await session.send('Page.setWebLifecycleState', { state });
  await session.detach();
}

/** Waits until `text` shows in all these tabs; milliseconds since `began`, for each. */
async function arrives(pages, text, began) {
  return Promise.all(pages.map(async page => {
    await page.locator('#messages .bubble', { hasText: text }).first().waitFor();
    return Date.now() - began;
  }));
}

/** Writes in a tab, in front as a person has it. */
async function sayIn(tab, text) {
  await tab.bringToFront();
  await say(tab, text);
}

const isStored = (server, id, text) =>
  eventually(async () => assert.ok((await stored(server, id)).includes(text)));

/** So that the tab is frozen without a chance to let go of anything, as some browsers do. */
const untold = page => page.evaluate(() => {
  window.addEventListener('freeze', event => event.stopImmediatePropagation(), true);
});

const post = (server, id, content) =>
  server.request(id, '/messages', 'POST', { role: 'user', content });

const EIGHT = 'eight tabs have one stream and show one conversation, a message from any shows in all';
chatTest(EIGHT, async ({ server, open, report }) => {
  const tabs = [await open()];
  await findTutor(tabs[0]);
  while (tabs.length < 8) tabs.push(await open());
  for (const tab of tabs) await tab.locator('.card').waitFor();
  await oneStream(server);
  for (const [i, tab] of tabs.entries()) {
    const began = Date.now();
    await say(tab, `hello from tab ${i}`);
    const times = await arrives(tabs, `hello from tab ${i}`, began);
    report(`a message from tab ${i} of 8 showed in all within ${Math.max(...times)} ms`);
  }
  await Promise.all(tabs.map(settled));
  const all = await stored(server, await sessionId(tabs[0]));
  assert.equal(all.length, 9);
  for (const tab of tabs) await eventually(async () => assert.deepEqual(await written(tab), all));
  assert.equal(await streams(server), 1);
  for (const tab of tabs) await connected(tab);
});

const thaw = (page, context) => lifecycle(context, page, 'active');
const LOSSES = {
  closes: { lose: page => page.close() },
  'goes elsewhere': { lose: page => page.goto('about:blank') },
  crashes: {
    async lose(page, context) {
      const session = await context.newCDPSession(page);
      // The answer never comes.
      session.send('Page.crash').catch(() => {});
      await new Promise(resolve => page.once('crash', resolve));
    },
  },
  reloads: { lose: page => page.reload(), back: connected },
  hangs: {
    async lose(page) {
      page.evaluate(() => {
        for (const end = Date.now() + 6_000; Date.now() < end;);
      }).catch(() => {});
    },
    back: connected,
  },
  'is frozen': { lose: (page, context) => lifecycle(context, page, 'frozen'), back: thaw },
  'is frozen without being told': {
    async lose(page, context) {
      await untold(page);
      await lifecycle(context, page, 'frozen');
    },
    back: thaw,
  },
};

/** Something happens to the tab with the stream; the tabs that are left. */
async function goOn({ server, context, report }, tabs, lost, what) {
  const { lose, back } = LOSSES[what];
  const others = tabs.filter(tab => tab !== lost);
  assert.equal(others.length, tabs.length - 1);
  const id = await sessionId(others[0]);
  await oneStream(server);
  await others[0].bringToFront();

  await lose(lost, context);
  const began = Date.now();
  await post(server, id, `while it ${what}`);
  const times = await arrives(others, `while it ${what}`, began);
  const holder = `the tab with the stream ${what}`;
  report(`${holder}: the others had the next message after ${Math.max(...times)} ms`);

  const said = Date.now();
  await sayIn(others[0], `after it ${what}`);
  await isStored(server, id, `after it ${what}`);
  report(`${holder}: a message of another was stored after ${Date.now() - said} ms`);
  await arrives(others, `after it ${what}`, said);
  for (const tab of others) await connected(tab);
  if (!back) {
    await oneStream(server);
    return others;
  }
  await back(lost, context);
  await arrives([lost], `after it ${what}`, Date.now());
  await oneStream(server);
  await sayIn(lost, `back after it ${what}`);
  await arrives(tabs, `back after it ${what}`, Date.now());
  for (const tab of tabs) await connected(tab);
  await oneStream(server);
  return tabs;
}

chatTest('the other tabs go on after the tab with the stream is gone', async tools => {
  const holder = holderOf(tools.context);
  let tabs = [];
  while (tabs.length < 5) tabs.push(await tools.open());
  for (const what of ['closes', 'goes elsewhere', 'crashes', 'reloads', 'hangs']) {
    tabs = await goOn(tools, tabs, holder(), what);
  }
  assert.equal(tabs.length, 2);
});

chatTest('the tab with the stream is frozen, and the others go on', async tools => {
  const holder = holderOf(tools.context);
  const tabs = [await tools.open(), await tools.open(), await tools.open()];
  for (const what of ['is frozen', 'is frozen without being told']) {
    await goOn(tools, tabs, holder(), what);
  }
}, { background: true });

chatTest('a booking goes on when the tab with the stream is frozen', async ({ server, context, open }) => {
  const holder = holderOf(context);
  const tabs = [await open(), await open()];
  await tabs[0].bringToFront();
  await beginBooking(tabs[0]);
  const [lost] = tabs.filter(tab => tab === holder());
  const [other] = tabs.filter(tab => tab !== lost);
  await other.bringToFront();
  await lifecycle(context, lost, 'frozen');
  await other.getByLabel('Your name').fill('Sam Lee');
  await other.getByLabel('Email address', { exact: true }).fill('sam@example.com');
  await other.locator('#booking button[type="submit"]').click();
  await other.getByLabel('CCSF email address', { exact: true }).waitFor();
  await lifecycle(context, lost, 'active');
  await lost.getByLabel('CCSF email address', { exact: true }).waitFor();
  assert.equal((await server.request(await sessionId(lost), '/booking-info')).step, 'ccsf-email');
}, { background: true });

const OUTBOX = 'a frozen tab with messages on their way keeps no other from sending';
chatTest(OUTBOX, async ({ server, context, open, report }) => {
  const [one, two] = [await open(), await open()];
  const id = await sessionId(one);
  for (const told of [true, false]) {
    let down = true;
    await one.route('**/messages', route => {
      const refuse = down && route.request().method() === 'POST';
      return refuse ? route.abort('connectionrefused') : route.continue();
    });
    if (!told) await untold(one);
    await sayIn(one, `typed first, ${told}`);
    await one.getByText('Not sent yet, kept here').waitFor();
    await two.bringToFront();
    await lifecycle(context, one, 'frozen');
    const began = Date.now();
    await sayIn(two, `typed second, ${told}`);
    await isStored(server, id, `typed second, ${told}`);
    report(`a message waited ${Date.now() - began} ms for a frozen tab (it was told: ${told})`);
    down = false;
    await lifecycle(context, one, 'active');
    for (const tab of [one, two]) await settled(tab);
    await one.unroute('**/messages');
  }
  const all = [true, false].flatMap(told => [`typed first, ${told}`, `typed second, ${told}`]);
  assert.deepEqual(await stored(server, id), all);
  for (const tab of [one, two]) await eventually(async () => assert.deepEqual(await written(tab), all));
}, { background: true });

chatTest('tabs of two sessions have a stream each', async ({ server, open }) => {
  const own = [await open(), await open()];
  const id = 'session-1-other';
  const other = [await open(`?session=${id}`), await open(`?session=${id}`)];
  await eventually(async () => assert.equal(await streams(server), 2));
  await post(server, id, 'for the other');
  await post(server, await sessionId(own[0]), 'for my own');
  await arrives(other, 'for the other', Date.now());
  await arrives(own, 'for my own', Date.now());
  for (const tab of own) assert.deepEqual(await written(tab), ['for my own']);
  for (const tab of other) assert.deepEqual(await written(tab), ['for the other']);
  assert.equal(await streams(server), 2);
});

/** As in a page without https, in an old browser, and where storage is blocked. */
const WITHOUT = {
  'the interface of locks': () =>
    Object.defineProperty(Navigator.prototype, 'locks', { value: undefined }),
  BroadcastChannel: () => delete globalThis.BroadcastChannel,
  'any lock given': () => {
    const refused = new DOMException('no locks for this page', 'SecurityError');
    if (navigator.locks) navigator.locks.request = () => Promise.reject(refused);
  },
};

for (const [what, remove] of Object.entries(WITHOUT)) {
  chatTest(`without ${what} each tab has its own stream`, async ({ server, context, open }) => {
    await context.addInitScript(remove);
    const tabs = [await open(), await open(), await open()];
    await eventually(async () => assert.equal(await streams(server), 3));
    await say(tabs[2], 'hello');
    await arrives(tabs, 'hello', Date.now());
    for (const tab of tabs) await eventually(async () => assert.equal((await shown(tab)).length, 3));
    await tabs[0].close();
    await eventually(async () => assert.equal(await streams(server), 2));
  });
}
