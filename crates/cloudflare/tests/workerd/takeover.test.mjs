// Objects that a JavaScript class wrote are taken over: without loss, once, whole or not at all.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process, Running } from './harness.mjs';
import { STATES } from './seed.mjs';

/** A value as clients of the JavaScript object saw it, with lone surrogates as browsers show them. */
function seen(name) {
  const { messages, createdAt, lastAccessedAt, ...app } = STATES[name];
  return JSON.parse(JSON.stringify({ messages, createdAt, lastAccessedAt, app }), (_, value) =>
    typeof value === 'string' ? value.replace(/\p{Surrogate}/gu, '\ufffd') : value,
  );
}

async function seeded(names) {
  const worker = new Running('seed');
  for (const name of names) await worker.run(name, name);
  await worker.restart('tests');
  return worker;
}

async function taken(worker, object) {
  const { tail, app, createdAt, lastAccessedAt } = await worker.run(object, 'load');
  return { messages: tail.map((text) => JSON.parse(text)), app: JSON.parse(app), createdAt, lastAccessedAt };
}

test('the state that clients of the JavaScript object saw is taken over', async () => {
  const names = ['odd', 'thousand', 'large', 'wide'];
  const worker = await seeded(names);
  for (const name of names) {
    assert.deepEqual(await worker.run(name, 'take-over'), { done: true });
    assert.deepEqual(await taken(worker, name), seen(name), name);
  }
});

test('it happens once: neither a restart nor a later write to chatState repeats it', async () => {
  const worker = await seeded(['odd']);
  assert.deepEqual(await worker.run('odd', 'take-over'), { done: true });
  assert.deepEqual(await worker.run('odd', 'take-over'), { done: false });
  await worker.run('odd', 'commit', { append: ['{"role":"user","content":"after"}'] });
  // Rolling back to the former class shows the old conversation rather than none.
  await worker.restart('seed');
  assert.equal((await worker.run('odd', 'read')).value.messages.length, 4);
  await worker.run('odd', 'thousand');
  await worker.restart('tests');
  assert.deepEqual(await worker.run('odd', 'take-over'), { done: false });
  assert.equal((await taken(worker, 'odd')).messages.length, 5);
});

test('a delete removes chatState too, so the session does not come back', async () => {
  const worker = await seeded(['odd']);
  await worker.run('odd', 'take-over');
  assert.equal((await worker.run('odd', 'delete')).outcome, 'Deleted');
  await worker.restart('tests');
  assert.deepEqual(await worker.run('odd', 'take-over'), { done: false });
  assert.equal(await worker.run('odd', 'load'), null);
  await worker.restart('seed');
  assert.equal((await worker.run('odd', 'read')).value, null);
});

test('a chatState that is not a state is an error and left as it is', async () => {
  const names = ['not-a-state', 'number', 'bad-message'];
  const worker = await seeded(names);
  for (const name of names) {
    const refused = await worker.run(name, 'take-over');
    assert.equal(refused.error, 'Corrupt', name);
    assert.match(refused.text, /it was not changed/);
    assert.equal(await worker.run(name, 'load'), null);
  }
  await worker.restart('seed');
  for (const name of names) assert.deepEqual((await worker.run(name, 'read')).value, JSON.parse(JSON.stringify(STATES[name])));
});

test('an object that holds nothing is taken over as nothing and stays empty', async () => {
  const worker = await seeded([]);
  assert.deepEqual(await worker.run('empty', 'take-over'), { done: false });
  assert.deepEqual(await worker.run('empty', 'sql', { statement: "SELECT name FROM sqlite_master WHERE name LIKE 'durable%'" }), []);
});

test('killed in the middle it is whole or not there, and then taken over', async (t) => {
  const found = { nothing: 0, everything: 0 };
  for (const delay of [0, 20, 50, 100, 150, 250, 400]) {
    const workerd = new Process('seed');
    await workerd.start();
    await workerd.run('large', 'large');
    await workerd.kill();
    workerd.configure('tests');
    await workerd.start();
    await workerd.run('other', 'load');
    const takeover = workerd.run('large', 'take-over').catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, delay));
    await workerd.kill();
    await takeover;
    await workerd.start();
    const before = await workerd.run('large', 'load');
    if (before !== null) assert.equal(before.messages, 17_000);
    found[before === null ? 'nothing' : 'everything'] += 1;
    assert.deepEqual(await workerd.run('large', 'take-over'), { done: before === null });
    assert.deepEqual(await taken(workerd, 'large'), seen('large'));
    await workerd.kill();
  }
  t.diagnostic(`after a kill in its middle: ${found.nothing} times nothing taken over, ${found.everything} times everything`);
});

test('an emptied object holds nothing any more and begins anew', async () => {
  const worker = await seeded(['odd']);
  await worker.run('odd', 'take-over');
  assert.deepEqual(await worker.run('odd', 'purge'), { done: false }, 'not while there is a session');
  await worker.run('odd', 'delete');
  await worker.run('odd', 'sql', { statement: 'CREATE TABLE of_the_app (a)' });
  assert.deepEqual(await worker.run('odd', 'purge'), { done: false }, 'not while the app has a table');
  await worker.run('odd', 'sql', { statement: 'DROP TABLE of_the_app' });
  assert.deepEqual(await worker.run('odd', 'purge'), { done: true });
  assert.deepEqual(await worker.run('odd', 'sql', { statement: 'SELECT name FROM sqlite_master' }), []);
  assert.equal((await worker.run('odd', 'commit', { append: ['one'] })).messages, 1);
});
