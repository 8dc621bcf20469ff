// Entries 9 (the server's side) and 13: event streams that say that they are alive, and HEAD of one.

import { Connection, head, parsed } from '../lib/raw.mjs';

export const ENTRIES = ['9', '13'];
/** The keep-alive interval of the server, and some time for a machine that is busy. */
const PING_MS = 15_000 + 5_000;

export default async function play(report, programs) {
  const service = await programs.service();
  await service.say('s-1', 'hello');
  const path = '/api/chat/session/s-1/events';
  await report.check('13', 'HEAD /events does not claim an empty body', async () => {
    const connection = new Connection(service);
    await connection.write(head('HEAD', path));
    const { status, headers } = parsed(await connection.until((text) => text.includes('\r\n\r\n'), 5000));
    connection.close();
    return [status === 200 && headers['content-length'] === undefined, `${status} content-length: ${headers['content-length'] ?? 'none'}`];
  });
  await report.check('9', 'a quiet stream sends a `ping` event within the keep-alive interval', async () => {
    const connection = new Connection(service);
    const began = Date.now();
    await connection.write(head('GET', path, { accept: 'text/event-stream' }));
    // The stream begins with one; the next one comes after the interval.
    const pings = (text) => text.match(/^event: ?ping/gm)?.length ?? 0;
    const text = await connection.until((text) => pings(text) > 1, PING_MS);
    connection.close();
    const told = text.split('\n').filter((line) => /^(event|:)/.test(line)).map((line) => line.trim());
    return [pings(text) > 1, `after ${((Date.now() - began) / 1000).toFixed(1)} s: ${told.join(', ') || 'nothing'}`];
  });
  await service.stop();
}
