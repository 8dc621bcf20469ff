// The service under test as a process of its own: the program in AI_CHAT_BIN, or any command line in
// AI_CHAT_CMD. In that, {addr} stands for the address to listen on, {store} for a file that is kept
// over a restart, and {tokens}, {delay_ms} and {tools} (`true` or `false`) for the made-up model.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** The checkout; these files may run from a copy elsewhere. */
export const ROOT = process.env.DURABLE_SESSION_ROOT || path.resolve(import.meta.dirname, '../../..');
const PROGRAM = process.env.AI_CHAT_BIN || path.join(ROOT, 'target/debug/ai-chat');
const COMMAND = process.env.AI_CHAT_CMD;
const START_MS = 60_000;

/** Whether the service is another than the program of this checkout, which has options of its own. */
export const FOREIGN = COMMAND !== undefined;

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

export class Service {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ai-chat-'));
  #child = null;
  #output = '';

  /**
   * A running service. The made-up model says so many tokens, with a pause before each. `options`
   * go to the program as they are.
   */
  static async start({ tokens = 20, delayMs = 1, tools = false, options = [] } = {}) {
    const service = new Service();
    service.model = { tokens, delayMs, tools };
    service.options = options;
    service.addr = `127.0.0.1:${await freePort()}`;
    service.base = `http://${service.addr}`;
    service.api = `${service.base}/api/chat`;
    await service.start();
    return service;
  }

  #command() {
    const { tokens, delayMs, tools } = this.model;
    const store = path.join(this.#folder, 'chat.store');
    if (FOREIGN) {
      const values = { addr: this.addr, store, tokens, delay_ms: delayMs, tools };
      return ['/bin/sh', '-c', `exec ${COMMAND.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole)}`];
    }
    const command = [PROGRAM, '--addr', this.addr, '--store', `redb:${store}`, ...this.options];
    // With another model these have no meaning.
    if (this.options.includes('--model-url')) return command;
    return [...command, '--tokens', String(tokens), '--delay-ms', String(delayMs), ...(tools ? ['--tools'] : [])];
  }

  /** Starts it on the same address and the same store as before. */
  async start() {
    const [program, ...args] = this.#command();
    const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (this.#output += data));
    let ended = false;
    child.ended = new Promise(resolve => child.once('close', () => resolve((ended = true))));
    for (const deadline = Date.now() + START_MS; Date.now() < deadline && !ended; await sleep(20)) {
      if (await fetch(`${this.base}/health`).then(response => response.ok, () => false)) return;
    }
    await this.kill();
    throw new Error(`${program} did not come up:\n${this.#output}`);
  }

  /** kill -9. */
  async kill() {
    const child = this.#child;
    if (!child) return;
    this.#child = null;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
    await child.ended;
  }

  /** The stored messages. */
  async messages(id) {
    const response = await fetch(`${this.api}/session/${id}`);
    if (!response.ok) throw new Error(`the session: ${response.status} ${await response.text()}`);
    return (await response.json()).messages;
  }

  async end() {
    await this.kill();
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}
