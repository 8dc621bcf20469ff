// Starts the server under test as a process of its own, so that it can be killed: the program in
// TUTOR_CHAT_BIN, or any command line in TUTOR_CHAT_CMD, in which {addr} stands for the address to
// listen on and {store} for a file that is kept over a restart.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

/** The checkout; these files may run from a copy elsewhere. */
export const ROOT = process.env.DURABLE_SESSION_ROOT || path.resolve(import.meta.dirname, '../../..');

const PROGRAM = process.env.TUTOR_CHAT_BIN || 'target/debug/tutor-chat';
const COMMAND = process.env.TUTOR_CHAT_CMD || `'${PROGRAM}' --stream-ms 0 --addr {addr} --store redb:{store}`;
const START_MS = 30_000;

/**
 * Options for tests that store messages that the page does not, such as messages of other roles.
 * A server of TUTOR_CHAT_CMD takes them anyway.
 */
export const EVERYTHING = process.env.TUTOR_CHAT_CMD ? '' : '--client-may everything';

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

export class Server {
  #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tutor-chat-'));
  #child = null;
  #output = '';

  /** A running server on a port of its own, with these further options. */
  static async start(options = '') {
    const server = new Server();
    server.options = options;
    server.addr = `127.0.0.1:${await freePort()}`;
    server.base = `http://${server.addr}`;
    await server.start();
    return server;
  }

  /** Starts it on the same address and the same store as before. */
  async start() {
    const command = COMMAND.replaceAll('{addr}', this.addr).replaceAll('{store}', path.join(this.#folder, 'chat.store'));
    const child = spawn('/bin/sh', ['-c', `exec ${command} ${this.options}`], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (this.#output += data));
    child.ended = new Promise(resolve => child.once('close', resolve));
    let ended = false;
    child.ended.then(() => (ended = true));
    for (const deadline = Date.now() + START_MS; Date.now() < deadline && !ended; await sleep(30)) {
      const up = await fetch(`${this.base}/health`).then(response => response.ok, () => false);
      if (up) return;
    }
    await this.kill();
    throw new Error(`${command} did not come up:\n${this.#output}`);
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

  /** Sends a signal to the program itself, and not to those that it started. */
  signal(name) {
    process.kill(this.#child.pid, name);
  }

  async close() {
    await this.kill();
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A request past the browser: the JSON that the server answers. */
  async request(id, route = '', method = 'GET', body = undefined) {
    const response = await fetch(`${this.base}/api/chat/session/${id}${route}`, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
