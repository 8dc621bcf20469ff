// Starts the programs under test, each on a port and in a folder of its own, and ends them.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const START_MS = 20_000;

export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export class Programs {
  #options;
  #services = new Set();
  #help;

  constructor(options) {
    this.#options = options;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'faults-'));
  }

  /** A path for a file that nothing else uses. */
  file(name) {
    return path.join(fs.mkdtempSync(path.join(this.folder, 'f-')), name);
  }

  /** Runs a program to its end: exit code and all that it printed. */
  async run(program, args, { limit = 120_000 } = {}) {
    const child = spawn(program, args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), limit);
    const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', (code, signal) => resolve(code ?? signal)));
    clearTimeout(timer);
    return { code, stdout, stderr };
  }

  replay(args, options) {
    return this.run(this.#options.replay, args, options);
  }

  /** The options of tutor-chat, as it prints them. */
  async help() {
    this.#help ??= (await this.run(this.#options.tutorChat, ['--help'])).stdout;
    return this.#help;
  }

  /**
   * A running tutor-chat. `clientMay` is left out where the program has no such option: before it came, everything was
   * allowed.
   */
  async service({ clientMay, args = [], answers = false, rate = 0, store = 'memory', log = 'warn' } = {}) {
    const help = await this.help();
    const all = ['--rate', String(rate), '--log', log, '--store', store === 'redb' ? `redb:${this.file('chat.redb')}` : store, ...args];
    if (!answers) all.push('--no-answers');
    else if (help.includes('--stream-ms')) all.push('--stream-ms', '0');
    if (clientMay && help.includes('--client-may')) all.push('--client-may', clientMay);
    const service = new Service(this.#options.tutorChat, all, this.folder);
    this.#services.add(service);
    await service.start();
    return service;
  }

  async close() {
    for (const service of this.#services) await service.stop();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

export class Service {
  output = '';
  #program;
  #args;
  #cwd;

  constructor(program, args, cwd) {
    this.#program = program;
    this.#args = args;
    this.#cwd = cwd;
  }

  async start() {
    this.port = await freePort();
    this.address = `127.0.0.1:${this.port}`;
    this.base = `http://${this.address}`;
    this.child = spawn(this.#program, ['--addr', this.address, ...this.#args], { cwd: this.#cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (data) => (this.output += data));
    this.ended = new Promise((resolve) => this.child.once('close', (code, signal) => resolve((this.code = code ?? signal))));
    for (const end = Date.now() + START_MS; Date.now() < end; await sleep(20)) {
      if (this.code !== undefined) throw new Error(`tutor-chat ended with ${this.code}: ${this.output}`);
      if (await fetch(`${this.base}/health`).then((answer) => answer.ok, () => false)) return;
    }
    throw new Error(`tutor-chat did not come up: ${this.output}`);
  }

  url(id, rest = '') {
    return `${this.base}/api/chat/session/${id}${rest}`;
  }

  /** One request with a JSON body: status, headers and the body of the answer, parsed if it is JSON. */
  async ask(method, id, rest = '', body = undefined, headers = {}) {
    const sent = body === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await fetch(this.url(id, rest), {
      method,
      headers: { ...sent, ...headers },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(90_000),
    });
    const text = await answer.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {}
    return { status: answer.status, headers: answer.headers, text, json, etag: answer.headers.get('etag') };
  }

  get(id, rest = '') {
    return this.ask('GET', id, rest);
  }

  say(id, content, more = {}) {
    return this.ask('POST', id, '/messages', { role: 'user', content, ...more });
  }

  /** Its messages with their seqs. */
  async rows(id) {
    const rows = [];
    for (let next = ''; ; ) {
      const page = await this.get(id, `/messages?limit=1000${next}`);
      if (page.status !== 200) throw new Error(`paging: ${page.status} ${page.text}`);
      rows.unshift(...page.json.messages);
      if (!page.json.next) return rows;
      next = `&before=${encodeURIComponent(page.json.next)}`;
    }
  }

  /** Resident memory in MB, now and at its highest. */
  memory() {
    const status = fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    const of = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+) kB`))?.[1] ?? NaN) / 1024;
    return { now: of('VmRSS'), peak: of('VmHWM') };
  }

  async stop() {
    if (this.child && this.code === undefined) {
      this.child.kill('SIGKILL');
      await this.ended;
    }
  }
}
