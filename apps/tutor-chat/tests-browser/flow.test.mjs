// The form accepts the same answers as the app behind it: both are held to the same cases.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from './server.mjs';

const APPS = path.join(ROOT, 'apps');
const { Refused, STEPS, answered } = await import(pathToFileURL(path.join(APPS, 'tutor-chat/page/flow.js')).href);
const CASES = JSON.parse(fs.readFileSync(path.join(APPS, 'tutoring/tests/booking-cases.json'), 'utf8'));

test('answers are accepted and stored as the cases say', () => {
  for (const { step, answer, accepted, stored } of CASES) {
    const name = `${step} ${JSON.stringify(answer)}`;
    if (!accepted) {
      assert.throws(() => answered({ step }, answer), Refused, name);
      continue;
    }
    const after = JSON.parse(JSON.stringify(answered({ step }, answer)));
    assert.equal(after.step, STEPS[STEPS.indexOf(step) + 1], name);
    for (const [field, value] of Object.entries(stored)) assert.deepEqual(after[field] ?? null, value, name);
  }
  for (const step of STEPS.slice(0, -1)) assert.ok(CASES.some(one => one.step === step && one.accepted), step);
});
