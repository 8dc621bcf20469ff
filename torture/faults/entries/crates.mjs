// Entries that show on the crates alone: the program of this folder says of each whether it is right.

import { Skip } from '../lib/report.mjs';

export const ENTRIES = ['0', '6', '7', '8a', '8b', '8c', '8d', '8e', '8f'];

export default async function play(report, programs, options) {
  if (!options.crates) {
    for (const entry of ENTRIES) await report.check(entry, 'on the crates alone', () => { throw new Skip('--crates is not given'); });
    return;
  }
  const args = report.only === undefined ? [] : ['--only', report.only];
  const { code, stdout, stderr } = await programs.run(options.crates, args, { limit: 600_000 });
  let told = 0;
  for (const line of stdout.split('\n')) {
    const match = line.match(/^entry (\S+) (.*?): (right|WRONG): (.*)$/);
    if (!match) continue;
    told += 1;
    report.say(match[1], match[2], match[3], match[4]);
  }
  const counts = stdout.match(/^crates right=(\d+) wrong=(\d+)$/m);
  if (!counts || told !== Number(counts[1]) + Number(counts[2])) throw new Error(`the program ended with ${code} after ${told} verdicts: ${stderr}`);
}
