// Time per POST /messages in workerd by the length of the conversation: our object beside the
// object that keeps its whole state under one key. Conversations of all lengths take turns, so that
// other load on the machine slows all of them alike.
import { performance } from 'node:perf_hooks';
import { Process } from './harness.mjs';

const SIZES = [10, 1_000, 10_000];
const ROUNDS = 100;
const PARALLEL = 8;
const content = 'x'.repeat(300 - '{"role":"user","content":""}'.length);
const message = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ role: 'user', content }) };
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function post(workerd, size) {
  const response = await workerd.fetch(`/api/chat/session/bench-${size}/messages`, message);
  await response.arrayBuffer();
  return response.ok;
}

/** Adds messages until there are `size`. If one is refused, returns how many went in before it. */
async function fill(workerd, size, progress) {
  let sent = 0;
  let refused;
  const client = async () => {
    while (sent < size && refused === undefined) {
      sent += 1;
      const at = sent;
      if (!(await post(workerd, size))) refused = Math.min(refused ?? at, at);
      progress(`${at} of ${size} messages`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, client));
  return refused;
}

async function measure(kind) {
  const progress = (text) => process.stderr.isTTY && process.stderr.write(`\r\x1b[K${kind}: ${text}`);
  const workerd = new Process(kind);
  await workerd.start();
  const refused = new Map();
  for (const size of SIZES) refused.set(size, await fill(workerd, size, progress));
  const times = new Map(SIZES.map((size) => [size, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const size of SIZES.filter((size) => refused.get(size) === undefined)) {
      const before = performance.now();
      await post(workerd, size);
      times.get(size).push(performance.now() - before);
    }
    progress(`round ${round + 1} of ${ROUNDS}`);
  }
  progress('');
  await workerd.kill();
  return SIZES.map((size) => ({ median: median(times.get(size)), refused: refused.get(size) }));
}

const number = (value) => value.toLocaleString('en');
console.log(`| POST /messages, 300 bytes, to | ${SIZES.map((size) => `${number(size)} messages`).join(' | ')} | last to first |`);
console.log(`|---|${SIZES.map(() => '---|').join('')}---|`);
for (const [name, kind] of [['ours', 'tutor'], ['whole state under one key', 'legacy']]) {
  const results = await measure(kind);
  const cells = results.map(({ median: ms, refused }) =>
    refused === undefined ? `${ms.toFixed(2)} ms` : `refused at about ${number(refused)}`,
  );
  const ratio = results.at(-1).refused === undefined ? (results.at(-1).median / results[0].median).toFixed(2) : '';
  console.log(`| ${name} | ${cells.join(' | ')} | ${ratio} |`);
}
process.exit(0);
