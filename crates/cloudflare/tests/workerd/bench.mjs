// Time per POST /messages in workerd as a conversation grows: ours beside the object that keeps its whole state under one
// key. Sequential requests over HTTP to a workerd of its own each; medians over windows of 200 messages.
import { performance } from 'node:perf_hooks';
import { Process } from './harness.mjs';

const SIZES = [10, 1_000, 10_000];
const WINDOW = 200;
const content = 'x'.repeat(300 - '{"role":"user","content":""}'.length);
const body = JSON.stringify({ role: 'user', content });

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function measure(kind) {
  const workerd = new Process(kind);
  await workerd.start();
  const url = '/api/chat/session/bench-0123456789/messages';
  const times = [];
  let stopped;
  for (let n = 0; n < Math.max(...SIZES) + WINDOW / 2; n++) {
    const before = performance.now();
    const response = await workerd.fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    await response.arrayBuffer();
    times.push(performance.now() - before);
    if (!response.ok) {
      stopped = n;
      break;
    }
    if (process.stderr.isTTY && n % 100 === 0) process.stderr.write(`\r${kind}: ${n} messages `);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  await workerd.kill();
  const medians = SIZES.map((size) => {
    const window = times.slice(Math.max(size - WINDOW / 2, 0), size + WINDOW / 2);
    return stopped !== undefined && size + WINDOW / 2 > stopped ? undefined : median(window);
  });
  return { medians, stopped };
}

const show = (ms) => (ms === undefined ? 'stopped' : `${ms.toFixed(2)} ms`);
const results = { ours: await measure('tutor'), 'whole state under one key': await measure('legacy') };
console.log(`| POST /messages, 300 bytes | ${SIZES.map((size) => `${size.toLocaleString('en')} messages`).join(' | ')} | last to first |`);
console.log(`|---|${SIZES.map(() => '---|').join('')}---|`);
for (const [name, { medians, stopped }] of Object.entries(results)) {
  const ratio = stopped === undefined ? (medians.at(-1) / medians[0]).toFixed(2) : `refused at message ${(stopped + 1).toLocaleString('en')}`;
  console.log(`| ${name} | ${medians.map(show).join(' | ')} | ${ratio} |`);
}
process.exit(0);
