// Entry 7: refusals that are not true.

import zlib from 'node:zlib';

export const ENTRIES = ['7'];

export default async function play(report, programs, options) {
  const service = await programs.service({ clientMay: 'everything' });
  const body = JSON.stringify({ role: 'user', content: 'compressed' });
  const encoded = { gzip: zlib.gzipSync(body), deflate: zlib.deflateSync(body), br: zlib.brotliCompressSync(body) };
  for (const [encoding, bytes] of Object.entries(encoded)) {
    for (const [method, rest] of [['POST', '/messages'], ['PUT', ''], ['PUT', '/booking-info']]) {
      await report.check('7', `${method} ${rest || '/'} with a body in ${encoding}`, async () => {
        const answer = await fetch(service.url('s-encoded', rest), { method, headers: { 'content-type': 'application/json', 'content-encoding': encoding }, body: bytes });
        const text = await answer.text();
        return [answer.status === 415 && text.includes(encoding), `${answer.status} ${text.slice(0, 160)}`];
      });
    }
  }
  await report.check('7', 'content-encoding: identity is no encoding', async () => {
    const answer = await service.ask('POST', 's-encoded', '/messages', body, { 'content-encoding': 'identity' });
    return [answer.status === 200, `${answer.status} ${answer.text.slice(0, 100)}`];
  });
  await report.check('7', 'an address that is in use is named', async () => {
    const { code, stdout, stderr } = await programs.run(options.tutorChat, ['--addr', service.address, '--store', 'memory'], { limit: 20_000 });
    const text = `${stdout}${stderr}`.trim();
    return [code !== 0 && text.includes(String(service.port)), `exit ${code}: ${text.replaceAll(String(service.port), 'PORT')}`];
  });
  await service.stop();
}
