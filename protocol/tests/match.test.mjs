import { test } from 'node:test';
import assert from 'node:assert/strict';
import { differences, fill, jsonEqual } from '../match.mjs';
import { parseEvent } from '../listener.mjs';

const matches = (pattern, value, captures = {}) => differences(pattern, value, captures).length === 0;

test('JSON equality ignores the order of members and nothing else', () => {
  assert.ok(jsonEqual({ a: 1, b: [null, { c: 'x' }] }, { b: [null, { c: 'x' }], a: 1 }));
  for (const [a, b] of [[1, '1'], [null, undefined], [[], {}], [[1, 2], [2, 1]], [{ a: 1 }, { a: 1, b: 2 }], [{ a: undefined }, {}], [true, 1]]) {
    assert.ok(!jsonEqual(a, b), JSON.stringify([a, b]));
    assert.ok(!jsonEqual(b, a), JSON.stringify([b, a]));
  }
});

test('a pattern without placeholders asks for the whole value', () => {
  assert.ok(matches({ success: true }, { success: true }));
  assert.ok(!matches({ success: true }, { success: true, more: 1 }));
  assert.ok(!matches({ success: true }, {}));
  assert.ok(!matches({ success: true }, null));
  assert.ok(!matches([1, 2], [1]));
  assert.ok(!matches(null, undefined));
  assert.ok(!matches({}, []));
});

test('an open object allows more members, and absent refuses one', () => {
  assert.ok(matches({ '{{...}}': true, a: 1 }, { a: 1, b: 2 }));
  assert.ok(!matches({ '{{...}}': true, a: 1 }, { b: 2 }));
  assert.ok(matches({ '{{...}}': true, a: '{{absent}}' }, { b: 2 }));
  assert.ok(!matches({ '{{...}}': true, a: '{{absent}}' }, { a: null }));
});

test('placeholders accept what they name', () => {
  const accepted = [['{{any}}', null], ['{{string}}', ''], ['{{nonempty}}', 'x'], ['{{integer}}', 0], ['{{ms}}', 1763264606917],
    ['{{containing lone}}', 'a Lone one'], ['{{starting application/json}}', 'Application/JSON; charset=utf-8'], ['{{listing GET, PUT}}', 'put,HEAD, get']];
  const refused = [['{{any}}', undefined], ['{{string}}', 1], ['{{nonempty}}', ''], ['{{integer}}', 1.5], ['{{integer}}', '1'], ['{{ms}}', 1763264606],
    ['{{ms}}', 1763264606917000], ['{{containing lone}}', 'alone'.slice(2)], ['{{starting a}}', 'ba'], ['{{listing GET, PUT}}', 'GET'], ['{{listing GET}}', undefined]];
  for (const [pattern, value] of accepted) assert.ok(matches(pattern, value), `${pattern} ${value}`);
  for (const [pattern, value] of refused) assert.ok(!matches(pattern, value), `${pattern} ${value}`);
  assert.throws(() => matches('{{no such}}', 1), /unknown placeholder/);
});

test('captures are compared and filled in', () => {
  const captures = {};
  assert.ok(matches({ a: '{{any as first}}', b: '{{nonempty as second}}' }, { a: { x: [1] }, b: 'v 1' }, captures));
  assert.deepEqual(captures, { first: { x: [1] }, second: 'v 1' });
  assert.ok(matches('{{=first}}', { x: [1] }, captures));
  assert.ok(!matches('{{=first}}', { x: [2] }, captures));
  assert.ok(matches('{{!=second as third}}', 'v2', captures));
  assert.equal(captures.third, 'v2');
  assert.ok(!matches('{{!=second}}', 'v 1', captures));
  assert.ok(!matches('{{=never}}', 1, captures));
  assert.deepEqual(fill({ whole: '{{=first}}', part: 'W/{{=third}}', path: '?c={{=second|url}}', n: 1 }, captures), { whole: { x: [1] }, part: 'W/v2', path: '?c=v%201', n: 1 });
  assert.throws(() => fill('{{=never}}', captures), /nothing was captured/);
});

test('events are read with their id and comments are not', () => {
  assert.deepEqual(parseEvent('event: state\nid: 7\ndata: {"a":\ndata: 1}'), { event: 'state', id: '7', data: { a: 1 } });
  assert.deepEqual(parseEvent('data:{}\r\nid: x:y'), { event: 'message', id: 'x:y', data: {} });
  assert.equal(parseEvent(': keep-alive'), undefined);
  assert.equal(parseEvent('retry: 1000'), undefined);
});
