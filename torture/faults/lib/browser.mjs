// A headless Chromium, and a proxy between it and the server that can make event streams fall silent.

import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { sleep } from './programs.mjs';
import { Skip } from './report.mjs';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The tests of the page, in this checkout and in older ones. */
const TESTS = ['apps/tutor-chat/tests-browser', 'examples/tutor-chat/tests-browser'];
/** Where their packages may be: beside them, or where `cargo xtask test` installs them. */
const folders = TESTS.flatMap((tests) => [tests, `target/npm/${tests.replaceAll('/', '-')}`]);
const packages = (root) => folders.map((folder) => path.join(root, folder, 'node_modules/playwright-core'));

/** A Chromium, or a Skip that names the missing program. */
export async function launch(root) {
  const search = (process.env.PATH ?? '').split(path.delimiter);
  const program = process.env.CHROMIUM || NAMES.flatMap((name) => search.map((folder) => path.join(folder, name))).find((file) => fs.existsSync(file));
  if (!program) throw new Skip('there is no Chromium in PATH; install it, or set CHROMIUM');
  // The packages of this folder's checkout do for another one, too.
  const candidates = [root, path.resolve(import.meta.dirname, '../../..')].flatMap(packages);
  const found = [process.env.FAULTS_PLAYWRIGHT, ...candidates].find((folder) => folder && fs.existsSync(folder));
  if (!found) throw new Skip('playwright-core is not installed; `cargo xtask test browser` does it');
  const { chromium } = createRequire(import.meta.url)(found);
  const server = await chromium.launchServer({ executablePath: program, headless: true, args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-dev-shm-usage', '--no-first-run', '--disable-background-networking'] });
  // Closing waits for tabs, and one that hangs would keep it for ever.
  return { browser: await chromium.connect(server.wsEndpoint()), end: () => server.kill() };
}

/** A proxy in front of a service. */
export class Between {
  #server;
  #streams = new Set();
  /** Whether streams that are opened from now on are silent from the beginning. */
  silent = false;
  /** The most event streams that were open at once. */
  most = 0;

  static async of(service) {
    const between = new Between();
    between.#server = http.createServer((request, response) => between.#forward(service, request, response));
    await new Promise((resolve) => between.#server.listen(0, '127.0.0.1', resolve));
    between.base = `http://127.0.0.1:${between.#server.address().port}`;
    return between;
  }

  get streams() {
    return this.#streams.size;
  }

  #forward(service, request, response) {
    const forward = http.request({ host: '127.0.0.1', port: service.port, path: request.url, method: request.method, headers: request.headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      if (!(answer.headers['content-type'] ?? '').startsWith('text/event-stream')) return answer.pipe(response);
      const stream = { silent: this.silent };
      this.#streams.add(stream);
      this.most = Math.max(this.most, this.#streams.size);
      response.flushHeaders();
      answer.on('data', (data) => stream.silent || response.write(data));
      answer.on('end', () => stream.silent || response.end());
      response.on('close', () => {
        this.#streams.delete(stream);
        forward.destroy();
      });
    });
    forward.on('error', () => response.destroy());
    request.pipe(forward);
  }

  /** Open streams stay open and bring nothing any more. */
  silence() {
    for (const stream of this.#streams) stream.silent = true;
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

export const status = (page) => page.locator('#status').getAttribute('data-status', { timeout: 5000 });
export const bubbles = (page) => page.locator('#messages > li').evaluateAll((items) => items.map((item) => item.textContent));

export async function say(page, text) {
  await page.locator('#text').fill(text, { timeout: 5000 });
  await page.locator('#text').press('Enter', { timeout: 5000 });
}

/** How many ms it took until `check` said true, or undefined if it did not within `limit`. */
export async function within(limit, check) {
  const began = Date.now();
  const over = sleep(limit);
  for (; Date.now() - began < limit; await sleep(50)) {
    // A tab that hangs does not answer at all.
    if (await Promise.race([Promise.resolve(check()).catch(() => false), over])) return Date.now() - began;
  }
  return undefined;
}

/** The same promise, but no longer than this. */
export function limited(limit, name, promise) {
  let timer;
  const over = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${name} took longer than ${limit / 1000} s`)), limit)));
  promise.catch(() => {});
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}
