// Entry 12: requests per client, by a header that a proxy sets.

export const ENTRIES = ['12'];

/** One a second, so ten at once. */
const RATE = 1;
const ASKED = 40;

export default async function play(report, programs) {
  const hex = (n) => (n + 1).toString(16);
  const forms = [
    ['the same v4 address', () => '203.0.113.10', 'one'],
    ['a v4 address with changing ports', (n) => `203.0.113.10:${50000 + n}`, 'one'],
    ['a v6 address', () => '2001:db8::9', 'one'],
    ['a v6 address in brackets', () => '[2001:db8::9]', 'one'],
    ['a v6 address in brackets with changing ports', (n) => `[2001:db8::9]:${50000 + n}`, 'one'],
    ['v6 addresses of one /64', (n) => `2001:db8:0:7::${hex(n)}`, 'one'],
    ['a v4 address written as v6', (n) => (n % 2 ? '::ffff:203.0.113.10' : '203.0.113.10'), 'one'],
    ['`unknown`', () => 'unknown', 'one'],
    ['obfuscated names that change', (n) => `_hidden${n}`, 'one'],
    ['words that change', (n) => `client-${n}`, 'one'],
    ['an empty header', () => '', 'one'],
    ['no header', () => undefined, 'one'],
    ['an address behind others that the client made up', (n) => `198.51.100.${n}, 203.0.113.10`, 'one'],
    ['v4 addresses', (n) => `198.51.100.${n}`, 'many'],
    ['v4 addresses with ports', (n) => `198.51.100.${n}:443`, 'many'],
    ['v6 addresses of different /64', (n) => `2001:db8:0:${hex(n)}::9`, 'many'],
  ];
  for (const [name, value, clients] of forms) {
    await report.check('12', `${name}: ${clients === 'one' ? 'one client' : 'one client each'}`, async () => {
      const service = await programs.service({ rate: RATE, args: ['--client-header', 'x-forwarded-for'] });
      const statuses = await Promise.all(Array.from({ length: ASKED }, async (_, n) => {
        const header = value(n);
        const answer = await service.ask('GET', 's-1', '', undefined, header === undefined ? {} : { 'x-forwarded-for': header });
        return answer.status;
      }));
      await service.stop();
      const refused = statuses.filter((status) => status === 429).length;
      // Some more than ten get through while the requests come in.
      const right = clients === 'one' ? refused >= ASKED - 15 : refused === 0;
      return [right, `${refused} of ${ASKED} refused`];
    });
  }
  await report.check('12', 'a client that cannot be told from others is logged once', async () => {
    const service = await programs.service({ args: ['--client-header', 'x-forwarded-for'], rate: 1000 });
    for (let n = 0; n < 10; n++) await service.ask('GET', 's-1', '', undefined, n % 2 ? { 'x-forwarded-for': 'unknown' } : {});
    await service.stop();
    const lines = service.output.split('\n').filter((line) => /WARN/.test(line));
    return [lines.length === 1, `${lines.length} warnings after 10 such requests${lines[0] ? `: ${lines[0].replace(/^\S+\s+/, '')}` : ''}`];
  });
}
