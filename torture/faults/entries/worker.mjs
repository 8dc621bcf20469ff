// Entries 0 and 13 in workerd. The Workers and their packages are those of `cargo xtask test workers`.

import { Skip } from '../lib/report.mjs';

export const ENTRIES = ['0', '13'];

export default async function play(report, programs, { workers }) {
  const names = { 0: 'a dropped call on a Durable Object', 13: 'a body of 9 MB on the Worker' };
  for (const entry of ENTRIES) {
    await report.check(entry, names[entry], () => { throw new Skip(workers ? 'not written' : '--workers is not given'); });
  }
}
