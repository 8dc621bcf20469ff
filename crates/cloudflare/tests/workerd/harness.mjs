// Starts Workers in workerd, through miniflare or as a process of its own, on a folder of their
// own.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { Miniflare } from 'miniflare';
import workerd from 'workerd';

// Programs that are not tests clean up when they end.
const after = process.env.NODE_TEST_CONTEXT
  ? (await import('node:test')).after
  : (clean) => process.once('exit', clean);

// Nothing here waits longer: a request that hangs is a failure.
export const LIMIT = 20_000;

const need = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo xtask test workers\``);
  return value;
};
const BUILT = need('WORKERS_DIR');
export const ROOT = need('DURABLE_SESSION_ROOT');
/** That of the tutoring Worker as it is deployed. */
export const [, COMPATIBILITY_DATE] =
  fs.readFileSync(path.join(ROOT, 'apps/tutor-worker/wrangler.toml'), 'utf8').match(/^compatibility_date = "(.*)"$/m);

/** A folder that is removed after the tests. */
export function temporary() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'durable-session-'));
  after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const file = (module, from, type = 'ESModule') => ({ type, path: module, file: from });

/** The Workers' modules, the entry first. All use one name for the object class, so they share storage. */
const KINDS = {
  tests: () => [entry(STEERED), ...rust('tests')],
  tutor: () => [entry(), ...rust('tutor')],
  aiChat: () => [entry(), ...rust('ai-chat')],
  // The whole-state object that the library takes over from.
  legacy: () => [
    { type: 'ESModule', path: 'entry.mjs', contents: `export { ${CLASS}, default } from './chat-session.mjs';` },
    file('chat-session.mjs', path.join(ROOT, 'protocol/legacy/chat-session.mjs')),
  ],
  // The former Worker in front of our object.
  mixed: () => {
    const ours = entry();
    const contents = `${ours.contents.replace('export default', 'const ours =')} export { default } from './chat-session.mjs';`;
    return [{ ...ours, contents }, ...rust('tutor'), file('chat-session.mjs', path.join(ROOT, 'protocol/legacy/chat-session.mjs'))];
  },
  // Writes values that such objects may hold and that HTTP requests cannot make.
  seed: () => [file('seed.mjs', path.join(import.meta.dirname, 'seed.mjs'))],
};
/** Variables of the Workers: the golden files are played without the app's own replies, by a client that
 *  may do everything. */
const VARIABLES = { ANSWERS: 'off', CLIENT_MAY: 'everything' };
export const BINDING = 'CHAT_SESSION';
export const CLASS = 'ChatSession';

/** A kind's modules as miniflare takes them. */
export const modulesOf = (kind) =>
  KINDS[kind]().map(({ file: from, ...module }) => (from ? { ...module, contents: fs.readFileSync(from) } : module));

/** The object's class behind the wrapper that bounds its requests. */
const BOUNDED = `export const ${CLASS} = boundedObject(InnerObject);`;
/** And with further commands: an eviction, and the alarm, which the test can bring forward. */
const STEERED = `
  export class ${CLASS} extends boundedObject(InnerObject) {
    constructor(ctx, env) {
      super(ctx, env);
      this.ctx = ctx;
    }
    async fetch(request) {
      const command = new URL(request.url).pathname.split('/')[2];
      if (command === 'evict') this.ctx.abort('the test evicts the object');
      if (command === 'alarm-now') await this.ctx.storage.setAlarm(Date.now());
      if (command?.startsWith('alarm')) return Response.json(await this.ctx.storage.getAlarm());
      return super.fetch(request);
    }
  }`;

/** The entry of a Worker built from Rust, with this class of the object. */
function entry(object = BOUNDED) {
  const contents = `
    import Inner, { ${CLASS} as InnerObject } from './build/index.js';
    import { bounded, boundedObject } from './bounded.mjs';
    ${object}
    export default bounded(Inner);`;
  return { type: 'ESModule', path: 'entry.mjs', contents };
}

/** The modules behind the entry of a Worker built from Rust. */
function rust(name) {
  return [
    file('bounded.mjs', path.join(ROOT, 'crates/cloudflare/js/bounded.mjs')),
    file('build/index.js', path.join(BUILT, name, 'index.js')),
    file('build/index_bg.wasm', path.join(BUILT, name, 'index_bg.wasm'), 'CompiledWasm'),
  ];
}

/** A Worker in miniflare that can be stopped and started again on the same folder, also as another kind. */
export class Running {
  constructor(kind, { persist = temporary(), variables = VARIABLES } = {}) {
    this.persist = persist;
    this.variables = variables;
    this.#start(kind);
    after(() => this.miniflare.dispose());
  }

  #start(kind) {
    this.kind = kind;
    this.miniflare = new Miniflare({
      modules: modulesOf(kind),
      compatibilityDate: COMPATIBILITY_DATE,
      durableObjects: { [BINDING]: { className: CLASS, useSQLite: true } },
      durableObjectsPersist: this.persist,
      bindings: this.variables,
    });
  }

  async restart(kind = this.kind) {
    await this.miniflare.dispose();
    this.#start(kind);
  }

  fetch(url, init = {}) {
    return this.miniflare.dispatchFetch(`http://worker${url}`, { signal: AbortSignal.timeout(LIMIT), ...init });
  }

  /** Gives the test Worker's object a command; returns its answer. */
  run(object, command, body = {}) {
    return give(this, object, command, body);
  }
}

async function give(worker, object, command, body) {
  const response = await worker.fetch(`/${object}/${command}`, { method: 'POST', body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${command}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** A Worker in a workerd process of our own, to be killed. */
export class Process {
  constructor(kind, { folder = temporary(), variables = VARIABLES } = {}) {
    this.folder = folder;
    this.variables = variables;
    this.log = '';
    this.configure(kind);
    after(() => this.child?.kill('SIGKILL'));
  }

  /** Sets the Worker that the next start runs. */
  configure(kind) {
    const listed = KINDS[kind]().map(({ type, path: name, file, contents }, i) => {
      const copy = path.join(this.folder, `module-${i}`);
      fs.writeFileSync(copy, contents ?? fs.readFileSync(file));
      return `(name = "${name}", ${type === 'ESModule' ? 'esModule' : 'wasm'} = embed "module-${i}")`;
    });
    const texts = Object.entries(this.variables).map(([name, text]) => `, (name = "${name}", text = "${text}")`);
    fs.mkdirSync(path.join(this.folder, 'state'), { recursive: true });
    fs.writeFileSync(path.join(this.folder, 'config.capnp'), `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .worker), (name = "disk", disk = (path = "state", writable = true)) ],
  sockets = [ (name = "http", address = "127.0.0.1:0", http = (), service = "main") ],
);
const worker :Workerd.Worker = (
  modules = [ ${listed.join(', ')} ],
  compatibilityDate = "${COMPATIBILITY_DATE}",
  durableObjectNamespaces = [ (className = "${CLASS}", uniqueKey = "-${CLASS}", enableSql = true) ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [ (name = "${BINDING}", durableObjectNamespace = "${CLASS}")${texts.join('')} ],
);`);
  }

  async start() {
    const args = ['serve', path.join(this.folder, 'config.capnp'), `--directory-path=disk=${path.join(this.folder, 'state')}`, '--control-fd=3'];
    this.child = spawn(workerd.default, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    for (const stream of this.child.stdio.slice(1, 3)) stream.on('data', (data) => (this.log += data));
    this.ended = new Promise((resolve) => this.child.once('exit', resolve));
    const port = await new Promise((resolve, reject) => {
      let text = '';
      this.child.stdio[3].on('data', (data) => {
        text += data;
        const listening = text.match(/"event":"listen".*"port":(\d+)/);
        if (listening) resolve(listening[1]);
      });
      this.child.once('exit', () => reject(new Error(`workerd ended before it listened: ${this.log}`)));
    });
    this.base = `http://127.0.0.1:${port}`;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  fetch(url, init = {}) {
    return fetch(`${this.base}${url}`, { signal: AbortSignal.timeout(LIMIT), ...init });
  }

  run(object, command, body = {}) {
    return give(this, object, command, body);
  }
}
