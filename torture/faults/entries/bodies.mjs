// Entry 13: a body that is slow but moves, and one that stalls.

import { Skip } from '../lib/report.mjs';
import { sleep } from '../lib/programs.mjs';
import { Connection, head, parsed } from '../lib/raw.mjs';

export const ENTRIES = ['13'];

/** Posts a message of `bytes` at `perSecond`; the answer and how long it took. */
async function slowly(service, bytes, perSecond, { stallAt = Infinity, limit = 90_000 } = {}) {
  const body = JSON.stringify({ role: 'user', content: '' }).replace('""', `"${'x'.repeat(bytes)}"`);
  const connection = new Connection(service);
  await connection.connected;
  const began = Date.now();
  await connection.write(head('POST', '/api/chat/session/s-slow/messages', { 'content-type': 'application/json', 'content-length': body.length }));
  for (let at = 0; at < body.length && at < stallAt && !connection.ended && !connection.received; ) {
    const due = Math.min(body.length, stallAt, Math.ceil((perSecond * (Date.now() - began)) / 1000));
    if (due > at) await connection.write(body.slice(at, due));
    at = Math.max(at, due);
    await sleep(50);
  }
  const { status, body: text } = parsed(await connection.until((text) => text.includes('\r\n\r\n'), Math.max(1000, limit - (Date.now() - began))));
  connection.close();
  return { status, text, seconds: (Date.now() - began) / 1000, seen: `${status || 'no answer'} after ${((Date.now() - began) / 1000).toFixed(1)} s ${status === 200 ? '' : text.slice(0, 100)}` };
}

export default async function play(report, programs, options) {
  const service = await programs.service();
  const kbit = 1000 / 8;
  const checks = [
    report.check('13', '600 KB over 300 kbit/s', async () => {
      const { status, seen } = await slowly(service, 600_000, 300 * kbit);
      return [status === 200, seen];
    }),
    report.check('13', '600 KB over 3 Mbit/s', async () => {
      const { status, seen } = await slowly(service, 600_000, 3000 * kbit);
      return [status === 200, seen];
    }),
    report.check('13', '1 MB over 150 kbit/s', async () => {
      if (!options.slow) throw new Skip('takes a minute: --slow');
      const { status, seen } = await slowly(service, 1_000_000, 150 * kbit);
      return [status === 200, seen];
    }),
    report.check('13', 'a body that stalls is cut', async () => {
      const { status, seconds, seen } = await slowly(service, 600_000, 3000 * kbit, { stallAt: 300_000, limit: 60_000 });
      return [status === 408 && seconds < 45, seen];
    }),
  ];
  await Promise.all(checks);
  await service.stop();
}
