// A headless Chromium, and the parts of the page that the tests read.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Server } from './server.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const PATIENCE_MS = 20_000;

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

async function emulated(options) {
  browser ??= await chromium.launch({ executablePath: executable(), headless: true, args: ARGS });
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  return { context, close: () => context.close() };
}

/**
 * A Chromium as a person has it: only the tab in front is visible, the others are in the background
 * and can be frozen. Playwright otherwise makes each tab believe that it is in front.
 */
async function plain() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'tutor-chat-profile-'));
  const args = [...ARGS, `--user-data-dir=${profile}`, '--remote-debugging-port=0', '--window-size=1100,800'];
  const child = spawn(executable(), [...args, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = new Promise(resolve => child.once('close', resolve));
  const endpoint = await new Promise((resolve, reject) => {
    let output = '';
    child.stderr.on('data', data => {
      output += data;
      const found = output.match(/DevTools listening on (ws:\S+)/);
      if (found) resolve(found[1]);
    });
    child.once('error', reject);
    child.once('close', () => reject(new Error(`Chromium ended:\n${output}`)));
  });
  const connection = await chromium.connectOverCDP(endpoint, { noDefaults: true });
  return {
    context: connection.contexts()[0],
    async close() {
      await connection.close();
      child.kill('SIGKILL');
      await ended;
      fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

/**
 * A test with a server and a browser of its own. `open()` opens a tab and waits until it is connected;
 * `report()` prints a measurement. With `background: true` only the tab in front is visible.
 */
export function chatTest(name, body, { background = false, ...options } = {}, serverOptions = '') {
  test(name, { timeout: 120_000 }, async t => {
    const server = await Server.start(serverOptions);
    const { context, close } = background ? await plain() : await emulated(options);
    context.setDefaultTimeout(PATIENCE_MS);
    const faults = [];
    context.on('weberror', error => faults.push(String(error.error())));
    context.on('console', message => {
      if (message.type() === 'error' && /Content Security Policy/i.test(message.text())) faults.push(message.text());
    });
    const open = async (query = '', base = server.base) => {
      const page = await context.newPage();
      await page.goto(`${base}/${query}`);
      await connected(page);
      return page;
    };
    try {
      await body({ server, context, open, report: line => t.diagnostic(line) });
      assert.deepEqual(faults, [], 'errors in the page');
    } finally {
      await close();
      await server.close();
    }
  });
}

/** Asks until `check` passes; then its last failure stands. */
export async function eventually(check, patience = PATIENCE_MS) {
  for (const deadline = Date.now() + patience; ; await new Promise(resolve => setTimeout(resolve, 50))) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

export const connected = page => page.locator('#status[data-status="connected"]').waitFor();
export const offline = page => page.locator('#status[data-status="offline"]').waitFor();
export const sessionId = page => page.evaluate(() => localStorage.getItem('chatSessionId'));

/** The shown messages: `[who, text]` in order. */
export const shown = page =>
  page.locator('#messages > li').evaluateAll(items =>
    items.map(item => [['user', 'assistant'].find(role => item.classList.contains(role)) ?? 'other', item.querySelector('.bubble')?.textContent ?? '']));

/** The texts that the user wrote, as the page shows them. */
export const written = async page => (await shown(page)).filter(([who]) => who === 'user').map(([, text]) => text);

/** The texts that the user wrote, as the server has them. */
export async function stored(server, id) {
  return (await server.request(id, '/messages')).filter(message => message.role === 'user').map(message => message.content);
}

export async function say(page, text) {
  await page.locator('#text').fill(text);
  await page.locator('#text').press('Enter');
}

/** Asks for a tutor, and waits for the card. */
export async function findTutor(page) {
  await say(page, 'I want help with python tutor');
  const card = page.locator('.card').last();
  await card.waitFor();
  return card;
}

/** Opens the booking of the tutor that is found. */
export async function beginBooking(page) {
  await (await findTutor(page)).getByRole('button', { name: /^Book / }).click();
  await page.getByLabel('Your name').waitFor();
}

/** Waits until the conversation rests: nothing on its way. */
export const settled = page => eventually(async () => assert.equal(await page.locator('[data-state="waiting"]').count(), 0));
