// Entries 0 and 13 in workerd. The Workers and their packages are those of `cargo xtask test workers`.

import path from 'node:path';
import { Skip } from '../lib/report.mjs';

export const ENTRIES = ['0', '13'];

const READS = ['snapshot', 'messages', 'get_state', 'get_state_json', 'a new handle'];

export default async function play(report, programs, { workers, root }) {
  let workerd;
  try {
    workerd = await open(workers, root);
  } catch (error) {
    if (!(error instanceof Skip)) throw error;
    const names = { 0: 'a dropped call in workerd', 13: 'a body of 9 MB on the Worker' };
    for (const entry of ENTRIES) await report.check(entry, names[entry], () => { throw error; });
    return;
  }
  if (report.wants('0')) await dropped(report, workerd);
  if (report.wants('13')) await large(report, workerd);
}

/** The tests' own way to start Workers. */
async function open(workers, root) {
  if (!workers) throw new Skip('--workers is not given');
  const tests = path.resolve(process.env.FAULTS_WORKERD ?? path.join(root, 'target/npm/crates-cloudflare-tests-workerd'));
  process.env.WORKERS_DIR = path.resolve(workers);
  process.env.DURABLE_SESSION_ROOT = path.resolve(root);
  try {
    return await import(path.join(tests, 'harness.mjs'));
  } catch (error) {
    throw new Skip(`the packages of the Worker's tests are missing (${error.code}); \`cargo xtask test workers\` installs them`);
  }
}

async function dropped(report, { Process }) {
  const worker = new Process('tests');
  await worker.start();
  for (const ms of [50, 0]) {
    for (const read of ms ? READS : ['snapshot']) {
      await report.check('0', `${read} (workerd, ${ms ? `${ms} ms a commit` : 'the storage itself'})`, async () => {
        let seen;
        try {
          seen = await worker.run(`dropped-${ms}-${read}`.replaceAll(' ', '-'), 'dropped', { ms, read });
        } catch (error) {
          if (/unknown command/.test(error.message)) throw new Skip('this test Worker has no command `dropped`');
          throw error;
        }
        return [seen.durable === 2 && seen.read === 2, `store ${seen.durable}, read ${seen.read}`];
      });
    }
  }
  await worker.kill();
}

async function large(report, { Process }) {
  const worker = new Process('tutor');
  await worker.start();
  for (const [method, rest] of [['POST', '/messages'], ['PUT', '/booking-info']]) {
    for (const mb of [5, 9]) {
      await report.check('13', `${method} ${rest || '/'} of ${mb} MB on the Worker is 413`, async () => {
        const body = JSON.stringify({ role: 'user', content: 'x'.repeat(mb * 1_000_000) });
        const answer = await worker.fetch(`/api/chat/session/s-large${rest}`, { method, headers: { 'content-type': 'application/json' }, body }).catch((error) => error);
        if (answer instanceof Error) return [false, `${answer.message}: ${answer.cause?.code ?? answer.cause}`];
        return [answer.status === 413, `${answer.status} ${(await answer.text()).slice(0, 100)}`];
      });
    }
  }
  await worker.kill();
}
