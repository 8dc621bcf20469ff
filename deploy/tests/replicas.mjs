// Two replicas of tutor-chat on one database, behind nginx with the configuration of deploy/. It
// takes the place of the server in the browser tests:
//
//   DATABASE_URL=postgres://… TUTOR_CHAT_BIN=… \
//     TUTOR_CHAT_CMD='node deploy/tests/replicas.mjs --addr {addr} --store {store}' node --test
//
// The schema is named after the store. Whoever kills the process group kills all of it. SIGUSR2 kills
// the first replica.

import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const CONFIGURATION = path.resolve(import.meta.dirname, '..');
const PROGRAM = process.env.TUTOR_CHAT_BIN || 'target/debug/tutor-chat';
const NGINX = process.env.NGINX || 'nginx';

const options = process.argv.slice(2);
const taken = name => options.splice(options.indexOf(name), 2)[1];
const [addr, store] = [taken('--addr'), taken('--store')];
const database = new URL(process.env.DATABASE_URL);
database.searchParams.set('schema', `replicas_${createHash('sha256').update(store).digest('hex').slice(0, 16)}`);

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

const children = [];

async function replica() {
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(PROGRAM, ['--stream-ms', '0', '--addr', address, '--store', database.href, ...options], { stdio: ['ignore', 'inherit', 'inherit'] });
  children.push(child);
  child.once('exit', code => console.error(`the replica ${address} ended: ${code}`));
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await new Promise(resolve => setTimeout(resolve, 20))) {
    if (await fetch(`http://${address}/health`).then(({ ok }) => ok, () => false)) return address;
  }
  throw new Error(`the replica ${address} did not come up`);
}

// One after the other: the first makes the tables.
const replicas = [await replica(), await replica()];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'replicas-'));
fs.copyFileSync(path.join(CONFIGURATION, 'nginx.conf'), path.join(folder, 'nginx.conf'));
fs.writeFileSync(path.join(folder, 'listen.conf'), `listen ${addr};\n`);
fs.writeFileSync(path.join(folder, 'replicas.conf'), replicas.map(address => `server ${address} max_fails=1 fail_timeout=2s;\n`).join(''));
const settings = `daemon off; pid ${folder}/pid; error_log stderr warn;`;
spawn(NGINX, ['-p', folder, '-c', path.join(folder, 'nginx.conf'), '-g', settings], { stdio: ['ignore', 'inherit', 'inherit'] })
  .once('exit', code => process.exit(code ?? 1));
process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
process.on('SIGUSR2', () => children[0].kill('SIGKILL'));
