// The operators' page shows what `/metrics` counts.

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chatTest, eventually, findTutor } from './browser.mjs';
import { ROOT } from './server.mjs';

const file = path.join(ROOT, 'apps/tutor-chat/page/metrics.js');
const { parse, rate, within } = await import(pathToFileURL(file).href);

const sample = (at, text) => ({ at, metrics: parse(text) });

test('rates and bounds are of the time between two samples', () => {
  const before = sample(0, [
    '# TYPE http_answers counter', 'http_answers_total{route="page",status="200"} 5', 'http_answers_total{route="page",status="404"} 1',
    'http_answer_seconds_bucket{le="0.001",route="page"} 4', 'http_answer_seconds_bucket{le="0.002",route="page"} 6', 'http_answer_seconds_bucket{le="+Inf",route="page"} 6',
  ].join('\n'));
  const now = sample(2_000, [
    'http_answers_total{route="page",status="200"} 104', 'http_answers_total{route="page",status="404"} 2',
    'http_answer_seconds_bucket{le="0.001",route="page"} 94', 'http_answer_seconds_bucket{le="0.002",route="page"} 102', 'http_answer_seconds_bucket{le="+Inf",route="page"} 106',
  ].join('\n'));
  assert.equal(rate(before, now, 'http_answers_total'), 50);
  assert.equal(rate(before, now, 'http_answers_total', ({ status }) => status === '404'), 0.5);
  assert.equal(rate(now, before, 'http_answers_total'), undefined, 'the server began anew');
  assert.equal(within(0.5, before, now, 'page'), 0.001);
  assert.equal(within(0.96, before, now, 'page'), 0.002);
  assert.equal(within(0.99, before, now, 'page'), Infinity);
  assert.equal(within(0.5, before, before, 'page'), undefined);
});

chatTest('an operator sees requests, commits, sessions and latencies, and when the server is gone', async ({ server, open, context }) => {
  const page = await open();
  const dashboard = await context.newPage();
  await dashboard.goto(`${server.base}/dashboard`);
  await findTutor(page);
  await eventually(async () => assert.match(await dashboard.locator('#tiles').textContent(), /1Sessions in memory|Sessions in memory1/));
  await eventually(async () => assert.match(await dashboard.locator('#routes').textContent(), /messages\d/));
  await eventually(async () => assert.ok(await dashboard.locator('#rates path.requests').getAttribute('d')));
  assert.match(await dashboard.locator('#tiles').textContent(), /File and log/);
  await server.kill();
  await dashboard.getByText('The server does not answer.').waitFor();
});
