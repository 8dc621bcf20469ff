// kill -9 of workerd while clients write: acknowledged writes are stored, and every commit and
// every extension of a reply is stored whole or not at all.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process } from './harness.mjs';

const ROUNDS = 20;
const CLIENTS = 8;

test(`${ROUNDS} kills under ${CLIENTS} clients lose nothing acknowledged and tear nothing apart`, async (t) => {
  const workerd = new Process('tests');
  const acknowledged = [];
  let sent = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await workerd.start();
    // Each round dies after another number of acknowledgements, with the other clients' requests
    // under way.
    const deadline = 3 + ((round * 7) % 23);
    let acks = 0;
    const client = async () => {
      for (;;) {
        const parts = [1, 2, 3].map((part) => `${sent}-${part}`);
        sent += 1;
        await workerd.run('killed', 'commit', { append: parts, app: parts[2] });
        acknowledged.push(parts);
        acks += 1;
        if (acks === deadline) await workerd.kill();
      }
    };
    const ends = await Promise.allSettled(Array.from({ length: CLIENTS }, client));
    // Every client ended because the process was gone, not because an answer was wrong.
    for (const end of ends) assert.match(String(end.reason?.cause ?? end.reason), /fetch failed|ECONN|socket|terminated|closed/i);
    await workerd.ended;
  }
  await workerd.start();
  const { tail, app, messages } = await workerd.run('killed', 'load');
  assert.equal(messages, tail.length);
  const commits = [];
  for (let at = 0; at < tail.length; at += 3) commits.push(tail.slice(at, at + 3).join());
  const lost = acknowledged.filter((parts) => !commits.includes(parts.join()));
  const doubled = commits.length - new Set(commits).size;
  const torn = commits.filter((commit) => !/^(\d+)-1,\1-2,\1-3$/.test(commit));
  t.diagnostic(
    `${acknowledged.length} commits acknowledged, ${commits.length} found,` +
      ` ${lost.length} lost, ${doubled} doubled, ${torn.length} torn`,
  );
  assert.ok(acknowledged.length >= ROUNDS, 'every round had acknowledged something when it was killed');
  assert.deepEqual([lost, doubled, torn], [[], 0, []]);
  assert.equal(app, tail.at(-1), 'messages and app state are of the same commit');
});

test(`${ROUNDS} kills while replies grow lose no acknowledged chunk and double none`, async (t) => {
  const workerd = new Process('tests');
  const replies = Array.from({ length: 4 }, (_, n) => ({ object: `reply-${n}`, acknowledged: 0 }));
  const [SIZE, DEADLINE] = [3, 40];
  const chunk = (n) => `"${n}"`;
  await workerd.start();
  for (const { object } of replies) await workerd.run(object, 'commit', { open: '' });
  let undecided = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let acks = 0;
    const produce = async (reply) => {
      for (;;) {
        const chunks = Array.from({ length: SIZE }, (_, n) => chunk(reply.acknowledged + n));
        const { outcome } = await workerd.run(reply.object, 'extend', { seq: 1, offset: reply.acknowledged, chunks });
        // The extension that was under way in the kill is sent again, and is stored once.
        assert.equal(outcome, `Extended(ReplyCounts { chunks: ${reply.acknowledged + SIZE}, beats: 0 })`);
        reply.acknowledged += SIZE;
        acks += 1;
        if (acks === DEADLINE + round) await workerd.kill();
      }
    };
    const ends = await Promise.allSettled(replies.map(produce));
    for (const end of ends) assert.match(String(end.reason?.cause ?? end.reason), /fetch failed|ECONN|socket|terminated|closed/i);
    await workerd.ended;
    await workerd.start();
    for (const { object, acknowledged } of replies) {
      const { chunks, has } = await workerd.run(object, 'chunks', { seq: 1, offset: 0 });
      assert.ok([acknowledged, acknowledged + SIZE].includes(has), `${acknowledged} chunks acknowledged, ${has} found`);
      assert.deepEqual(chunks, Array.from({ length: has }, (_, n) => chunk(n)));
      if (has > acknowledged) undecided += 1;
    }
  }
  const total = replies.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  t.diagnostic(`${total} chunks acknowledged, all found; ${undecided} extensions stored before the kill and told after it`);
  assert.ok(total >= ROUNDS * DEADLINE * SIZE);
});
