// A headless Chromium, and the parts of the page that the tests read.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = process.env.DURABLE_SESSION_ROOT || path.resolve(import.meta.dirname, '../../..');
const imported = name => import(pathToFileURL(path.join(ROOT, 'examples/ai-chat/tests-node', name)).href);

/** How a service is started, and where it is: the same helper as in the tests without a browser. */
export const { FOREIGN, Service } = await imported('service.mjs');
export const { StandIn } = await imported('stand-in.mjs');

/** The built page. */
const BUILT = process.env.AI_CHAT_PAGE || path.join(ROOT, 'examples/ai-chat/page/dist');
export const PLAIN = path.join(ROOT, 'examples/ai-chat/plain');

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const PATIENCE_MS = 60_000;

/** A folder for screenshots, if a person wants to look at them. */
const SHOTS = process.env.AI_CHAT_SCREENSHOTS;
if (SHOTS) fs.mkdirSync(SHOTS, { recursive: true });

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? '').split(path.delimiter);
  const found = NAMES.flatMap(name => folders.map(folder => path.join(folder, name))).find(file => fs.existsSync(file));
  if (!found) throw new Error('no Chromium in PATH: install Debian’s package `chromium`, or set CHROMIUM to the program');
  return found;
}

const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

let browser;
after(() => browser?.close());

/**
 * Runs in the page. Tells of each change after which an answer does not show the words w0, w1, w2 …
 * in order, each once, and of each violation of the content policy.
 */
function watch() {
  addEventListener('securitypolicyviolation', event => tellFault(`${event.violatedDirective} forbids ${event.blockedURI}`));
  const check = () => {
    for (const text of document.querySelectorAll('[data-role="assistant"] .text')) {
      const words = text.textContent.match(/\bw\d+\b/g) ?? [];
      const wrong = words.findIndex((word, n) => word !== `w${n}`);
      if (wrong >= 0) tellFault(`the word ${words[wrong]} in place ${wrong} of ${words.length}`);
    }
  };
  new MutationObserver(check).observe(document, { subtree: true, childList: true, characterData: true });
}

/**
 * A test with a service and a browser context of its own. `open(id)` opens the chat in a new tab;
 * `shoot(page, name)` takes a screenshot if they are wanted.
 */
export function pageTest(name, model, body, { page: folder = BUILT, options = [], ...look } = {}) {
  test(name, { timeout: 300_000 }, async () => {
    const service = await Service.start({ ...model, options: [...(FOREIGN ? [] : ['--page', folder]), ...options] });
    let context;
    const faults = [];
    try {
      browser ??= await chromium.launch({ executablePath: executable(), headless: true, args: ARGS });
      context = await browser.newContext({ viewport: { width: 900, height: 760 }, ...look });
      context.setDefaultTimeout(PATIENCE_MS);
      await context.exposeFunction('tellFault', fault => faults.push(fault));
      await context.addInitScript(watch);
      context.on('weberror', error => faults.push(String(error.error())));
      context.on('request', request => {
        if (!request.url().startsWith(service.base)) faults.push(`a request to ${request.url()}`);
      });
      const open = async id => {
        const page = await context.newPage();
        await page.goto(`${service.base}/?chat=${id}`);
        await page.locator('textarea').waitFor();
        return page;
      };
      await body({ service, context, open });
      assert.deepEqual(faults, [], 'errors in the page');
    } finally {
      await context?.close();
      await service.end();
    }
  });
}

export async function shoot(page, name) {
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${name}.png`), animations: 'disabled' });
}

/** Asks until `check` passes; then its last failure stands. */
export async function eventually(check) {
  for (const deadline = Date.now() + PATIENCE_MS; ; await new Promise(resolve => setTimeout(resolve, 50))) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** Sends a message as soon as the page lets one: while an answer is being written, Enter does nothing. */
export async function say(page, text) {
  await page.locator('textarea').fill(text);
  await page.locator('[data-test="stop"]').waitFor({ state: 'hidden' });
  await page.locator('textarea').press('Enter');
}

/** Waits until the last answer has more words than `n`. Returns how many it has. */
export function wordsBeyond(page, n) {
  return eventually(async () => {
    const words = await page.locator('[data-role="assistant"]').last().locator('.text').last().textContent({ timeout: 1000 });
    const count = (words.match(/\bw\d+\b/g) ?? []).length;
    assert.ok(count > n, `${count} words`);
    return count;
  });
}

export const ready = page => page.locator('main[data-status="ready"]').waitFor();

/** Text without the signs of markdown, word by word. */
const words = text => text.replace(/[*`]/g, '').replace(/^\d+\. /gm, '').split(/\s+/).filter(Boolean);

/** The messages as the page shows them. */
const shown = page =>
  page.locator('.message').evaluateAll(items => items.map(item => ({
    id: item.dataset.id,
    role: item.dataset.role,
    text: [...item.querySelectorAll('.text, .plain')].map(text => text.textContent).join('\n'),
    tools: [...item.querySelectorAll('[data-test="tool"]')].map(tool => tool.dataset.state),
    end: item.querySelector('[data-test="end"]')?.textContent.split(':')[0].toLowerCase() ?? null,
  })));

const told = message => ({
  id: message.id,
  role: message.role,
  text: message.parts.filter(part => part.type === 'text').map(part => part.text).join('\n'),
  tools: message.parts.filter(part => part.type.startsWith('tool-')).map(part => part.state),
  end: message.metadata?.incomplete_details.reason ?? null,
});

/** Waits until the page shows what is stored, and no answer is being written. Returns it. */
export async function same(page, service, id) {
  let stored;
  await eventually(async () => {
    stored = await service.messages(id);
    assert.ok(!stored.some(message => message.metadata?.status === 'in_progress'), 'an answer is being written');
    const plain = messages => messages.map(message => ({ ...message, text: words(message.text) }));
    assert.deepEqual(plain(await shown(page)), plain(stored.map(told)));
  });
  return stored;
}

/** The text of a stored message. */
export const textOf = message => told(message).text;

/** Nothing sticks out sideways. */
export async function fits(page) {
  const wide = await page.evaluate(() => [...document.querySelectorAll('body *')]
    .filter(element => element.getClientRects().length > 0 && element.getBoundingClientRect().right > innerWidth + 1)
    .map(element => element.outerHTML.slice(0, 100)));
  assert.deepEqual(wide, []);
}
