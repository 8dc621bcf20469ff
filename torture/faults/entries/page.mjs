// Entries 9 and 10 in Chromium: streams that died without a word, and many tabs of one browser.

import { Between, bubbles, launch, limited, say, status, within } from '../lib/browser.mjs';
import { sleep } from '../lib/programs.mjs';
import { Skip } from '../lib/report.mjs';

export const ENTRIES = ['9', '10'];

/** A dead stream has to show within this; the page knew nothing of it after 120 s. */
const NOTICED_MS = 60_000;
const TABS = 8;

export default async function play(report, programs, { root }) {
  let browser;
  let end;
  try {
    ({ browser, end } = await limited(60_000, 'starting Chromium', launch(root)));
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    for (const entry of ENTRIES) await report.check(entry, 'the page in Chromium', () => { throw error; });
    return;
  }
  const service = await programs.service({ answers: true });
  try {
    if (report.wants('9')) await Promise.all([answered(report, browser, service), told(report, browser, service), silent(report, browser, service), offline(report, browser, service)]);
    if (report.wants('10')) await limited(240_000, `${TABS} tabs`, tabs(report, browser, service));
  } finally {
    await end();
    await service.stop();
  }
}

/** A tab with a proxy of its own, connected. */
async function tab(browser, service, body) {
  const between = await Between.of(service);
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${between.base}/`);
    if ((await within(20_000, async () => (await status(page)) === 'connected')) === undefined) throw new Error(`the page is ${await status(page)}`);
    const id = await page.evaluate(() => localStorage.getItem('chatSessionId'));
    return await body({ page, between, context, id });
  } finally {
    await limited(5000, 'closing', context.close()).catch(() => {});
    between.close();
  }
}

const seconds = (ms) => (ms === undefined ? `not within ${NOTICED_MS / 1000} s` : `after ${(ms / 1000).toFixed(1)} s`);
const has = (page, text) => async () => (await bubbles(page)).some((bubble) => bubble.includes(text));

const answered = (report, browser, service) =>
  report.check('9', 'an answer is shown though the stream is dead', () => tab(browser, service, async ({ page, between, id }) => {
    between.silence();
    await say(page, 'I want help with python tutor');
    const stored = await within(20_000, async () => (await service.get(id, '/messages')).json.length === 3);
    if (stored === undefined) throw new Error('the answer is not stored');
    const shown = await within(NOTICED_MS, async () => (await page.locator('#messages .card').count()) > 0);
    return [shown !== undefined, `shown ${seconds(shown)}; the page says ${await status(page)}`];
  }));

const told = (report, browser, service) =>
  report.check('9', 'a message of another client is shown though the stream is dead', () => tab(browser, service, async ({ page, between, id }) => {
    between.silence();
    await service.say(id, 'from elsewhere');
    const shown = await within(NOTICED_MS, has(page, 'from elsewhere'));
    return [shown !== undefined, `shown ${seconds(shown)}; the page says ${await status(page)}`];
  }));

const silent = (report, browser, service) =>
  report.check('9', 'a page whose streams are all dead does not say `connected`', () => tab(browser, service, async ({ page, between }) => {
    between.silent = true;
    between.silence();
    const noticed = await within(NOTICED_MS, async () => (await status(page)) !== 'connected');
    await sleep(5000);
    const later = await status(page);
    return [noticed !== undefined && later !== 'connected', `noticed ${seconds(noticed)}; 5 s later it says ${later}`];
  }));

const offline = (report, browser, service) =>
  report.check('9', 'a browser that is offline is not `connected`, and catches up', () => tab(browser, service, async ({ page, context, id }) => {
    await context.setOffline(true);
    const noticed = await within(10_000, async () => (await status(page)) !== 'connected');
    await service.say(id, 'meanwhile');
    await sleep(1000);
    await context.setOffline(false);
    const caught = await within(NOTICED_MS, async () => (await status(page)) === 'connected' && (await has(page, 'meanwhile')()));
    return [noticed !== undefined && caught !== undefined, `${noticed === undefined ? 'still connected after 10 s' : `noticed ${seconds(noticed)}`}; caught up ${seconds(caught)}`];
  }));

async function tabs(report, browser, service) {
  const between = await Between.of(service);
  const context = await browser.newContext();
  const pages = [];
  for (let n = 0; n < TABS; n++) {
    const page = await limited(20_000, `opening tab ${n + 1}`, context.newPage());
    // A tab that gets no connection stays blank; the others are not kept waiting for it.
    await page.goto(`${between.base}/`, { waitUntil: 'commit', timeout: 5000 }).catch(() => {});
    await within(3000, async () => (await bubbles(page)).length > 0);
    pages.push(page);
  }
  const everywhere = async (text, among, limit) => {
    const times = await Promise.all(among.map((page) => within(limit, has(page, text))));
    const there = times.filter((ms) => ms !== undefined);
    return { all: there.length === among.length, seen: `in ${there.length} of ${among.length} tabs, the last after ${there.length ? Math.max(...there) : '-'} ms` };
  };
  await report.check('10', `${TABS} tabs all show the conversation`, async () => {
    const times = await Promise.all(pages.map((page) => within(10_000, async () => (await bubbles(page)).length > 0)));
    const there = times.filter((ms) => ms !== undefined).length;
    return [there === TABS, `${there} of ${TABS}`];
  });
  await report.check('10', `${TABS} tabs have one event stream`, () => [between.most === 1 && between.streams === 1, `${between.streams} open, ${between.most} at most`]);
  for (const n of [0, 4, TABS - 1]) {
    await report.check('10', `a message from tab ${n + 1} appears in all ${TABS}`, async () => {
      const text = `from tab ${n + 1}`;
      await limited(10_000, 'writing', say(pages[n], text)).catch(() => {});
      const { all, seen } = await everywhere(text, pages, 10_000);
      return [all, seen];
    });
  }
  await report.check('10', 'closing the tab with the stream costs the others at most 5 s', async () => {
    await limited(5000, 'closing', pages[0].close()).catch(() => {});
    const left = pages.slice(1);
    await limited(5000, 'writing', say(left[3], 'after the first was closed')).catch(() => {});
    const { all, seen } = await everywhere('after the first was closed', left, 5_000);
    return [all && between.streams === 1, `${seen}; ${between.streams} streams`];
  });
  between.close();
}
