// Entry 13a: many clients that ask for a large state and never read, and many bodies that stall.

import fs from 'node:fs';
import { sleep } from '../lib/programs.mjs';
import { Connection, head } from '../lib/raw.mjs';

export const ENTRIES = ['13a'];

const MAY_ADD_MB = 300;
/** How long memory may stay as it is before it is taken for settled, and how long it may grow at most. */
const QUIET_MS = 6_000;
const GROWS_MS = 180_000;
const GONE_MS = 90_000;
/** Connections that this script's other requests keep for later use. */
const FEW = 10;

export default async function play(report, programs, options) {
  const service = await programs.service({ store: 'redb', clientMay: 'everything' });
  for (let n = 0; n < 10; n++) await service.say('s-large', `${n}`.padEnd(900_000, 'x'));
  // The memory of one reader is not counted.
  await service.get('s-large');
  for (const path of ['', '/messages']) await readers(report, service, path, options.slow ? 300 : 60);
  await stalled(report, service, options.slow ? 400 : 150);
  await service.stop();
}

const mb = (value) => `${Math.round(value)} MB`;

/** Waits until memory has stopped growing, or has grown far beyond the bound; the highest that was seen. */
async function settled(service, idle, meanwhile = async () => {}) {
  let highest = 0;
  let grewAt = Date.now();
  for (const began = Date.now(); Date.now() - began < GROWS_MS; await sleep(200)) {
    const { now } = service.memory();
    if (now > highest + 2) grewAt = Date.now();
    highest = Math.max(highest, now);
    if (Date.now() - grewAt > QUIET_MS || highest - idle > 1.2 * MAY_ADD_MB) break;
    await meanwhile();
  }
  return highest;
}

/** The connections to the service that its end of them has not closed: a client that does not read notices nothing. */
function established({ port }) {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/));
  return lines.filter(([, own, , state]) => own?.endsWith(local) && state === '01').length;
}

async function readers(report, service, rest, count) {
  if (!report.wants('13a')) return;
  const name = `${count} clients that never read GET ${rest || '/'} of 9 MB`;
  const idle = service.memory().now;
  const connections = await open(service, count, head('GET', `/api/chat/session/s-large${rest}`), { reads: false });
  const others = [];
  const highest = await settled(service, idle, async () => {
    const began = Date.now();
    await service.say('s-other', 'meanwhile');
    others.push(Date.now() - began);
  });
  await report.check('13a', `${name}: at most ${MAY_ADD_MB} MB above idle`, () => [highest - idle <= MAY_ADD_MB, `idle ${mb(idle)}, highest ${mb(highest)}: ${mb(highest - idle)} more`]);
  others.sort((a, b) => a - b);
  // The bound only says that others are served at all; the times are this machine's.
  await report.check('13a', `${name}: others are served meanwhile`, () => [others.at(-1) < 20_000, `${others.length} POSTs, p50 ${others[others.length >> 1]} ms, slowest ${others.at(-1)} ms`]);
  await report.check('13a', `${name}: they are cut although they stay`, async () => {
    const began = Date.now();
    let open = count;
    for (; open > FEW && Date.now() - began < GONE_MS; await sleep(1000)) open = established(service);
    return [open <= FEW, `${open} connections are open after ${Math.round((Date.now() - began) / 1000)} s`];
  });
  for (const connection of connections) connection.close();
  await sleep(2000);
  const left = service.memory().now;
  await report.check('13a', `${name}: memory is freed once they left`, () => [left - idle <= MAY_ADD_MB, `${mb(left - idle)} above idle`]);
}

async function stalled(report, service, count) {
  await report.check('13a', `${count} bodies of 4.1 MB that stall: at most ${MAY_ADD_MB} MB above idle`, async () => {
    const idle = service.memory().now;
    const length = 4_100_000;
    const request = head('PUT', '/api/chat/session/s-stalled', { 'content-type': 'application/json', 'content-length': length });
    const part = Buffer.alloc(length - 1000, 'x');
    part.write('{"x":"');
    const connections = await open(service, count, request);
    for (const connection of connections) connection.write(part);
    const highest = await settled(service, idle);
    const answered = connections.filter(({ received }) => / 503 /.test(received.slice(0, 20))).length;
    for (const connection of connections) connection.close();
    return [highest - idle <= MAY_ADD_MB, `idle ${mb(idle)}, highest ${mb(highest)}: ${mb(highest - idle)} more; ${answered} answered 503`];
  });
}

async function open(service, count, request, options) {
  const connections = Array.from({ length: count }, () => new Connection(service, options));
  await Promise.all(connections.map(async (connection) => {
    await connection.connected;
    await connection.write(request);
  }));
  return connections;
}
