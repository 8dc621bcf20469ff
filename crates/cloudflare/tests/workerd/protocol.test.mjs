// The golden protocol files, played unchanged against the Worker in workerd and against the whole-state object beside it.
import path from 'node:path';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process, ROOT } from './harness.mjs';

const { playScenario, scenarios } = await import(path.join(ROOT, 'protocol/play.mjs'));

const worker = new Process('tutor');
await worker.start();
for (const scenario of scenarios()) {
  test(`golden ${scenario.file.replace(/\.json$/, '')}: ${scenario.name}`, async () => {
    assert.deepEqual(await playScenario(scenario, { base: worker.base }), []);
  });
}

const legacy = new Process('legacy');
await legacy.start();
test('the whole-state object speaks what existing clients rely on, and differs only in what was added', async (t) => {
  const differs = [];
  for (const scenario of scenarios()) {
    const wrong = await playScenario(scenario, { base: legacy.base });
    if (scenario.extends) differs.push(...(wrong.length ? [scenario.name] : []));
    else assert.deepEqual(wrong, [], scenario.name);
  }
  t.diagnostic(`${differs.length} scenarios of the extended protocol differ: ${differs.join('; ')}`);
});
