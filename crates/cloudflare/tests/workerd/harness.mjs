// Starts Workers in workerd through miniflare, on a folder of their own.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { Miniflare } from 'miniflare';

// Nothing here waits longer: what hangs is a failure, not a wait.
export const LIMIT = 20_000;

const built = process.env.WORKERS_DIR;
if (!built) throw new Error('WORKERS_DIR must name the folder of built Workers: run `cargo xtask test workers`');

/** A folder that is gone after the tests. */
export function temporary() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'durable-session-'));
  after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Miniflare's options for the Worker built as `name`. */
export function options(name, { persist, object, ...more }) {
  const folder = path.join(built, name);
  const [binding, className] = object;
  return {
    modules: true,
    modulesRules: [
      { type: 'CompiledWasm', include: ['**/*.wasm'] },
      { type: 'ESModule', include: ['**/*.js'] },
    ],
    scriptPath: path.join(folder, 'index.js'),
    modulesRoot: folder,
    compatibilityDate: '2026-04-01',
    durableObjects: { [binding]: { className, useSQLite: true } },
    durableObjectsPersist: persist,
    ...more,
  };
}

/** A running Worker that can be stopped and started again on the same folder. */
export class Running {
  constructor(make) {
    this.make = make;
    this.miniflare = new Miniflare(make());
    after(() => this.miniflare.dispose());
  }

  async restart() {
    await this.miniflare.dispose();
    this.miniflare = new Miniflare(this.make());
  }

  fetch(url, init = {}) {
    return this.miniflare.dispatchFetch(`http://worker${url}`, { signal: AbortSignal.timeout(LIMIT), ...init });
  }
}

/** The test Worker: `run(object, command, body)` answers what the command answers. */
export function testWorker(persist = temporary()) {
  const worker = new Running(() => options('tests', { persist, object: ['TESTED', 'Tested'] }));
  worker.run = async (object, command, body = {}) => {
    const response = await worker.fetch(`/${object}/${command}`, { method: 'POST', body: JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${command}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  return worker;
}
