// Entry 11: the owner of a session behind a proxy that strips a prefix, and together with --cors-origin.

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';

export const ENTRIES = ['11'];
const ORIGIN = 'https://chat.example.com';

/** A proxy that serves `service` below a prefix. */
async function below(prefix, service) {
  const proxy = http.createServer((request, response) => {
    if (!request.url.startsWith(`${prefix}/`)) return response.writeHead(404).end();
    const headers = { ...request.headers, 'x-forwarded-prefix': prefix };
    const forward = http.request({ host: '127.0.0.1', port: service.port, path: request.url.slice(prefix.length), method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    forward.on('error', () => response.destroy());
    request.pipe(forward);
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return { base: `http://127.0.0.1:${proxy.address().port}${prefix}`, close: () => (proxy.closeAllConnections(), proxy.close()) };
}

/** The cookies of one browser: sent where their path fits (RFC 6265). */
class Browser {
  #cookies = new Map();

  async fetch(url, { headers = {}, ...init } = {}) {
    const { pathname } = new URL(url);
    const fits = (path) => pathname === path || (pathname.startsWith(path) && (path.endsWith('/') || pathname[path.length] === '/'));
    const cookie = [...this.#cookies.values()].filter(({ path }) => fits(path)).map(({ pair }) => pair).join('; ');
    const answer = await fetch(url, { ...init, headers: { ...headers, ...(cookie && { cookie }) } });
    for (const set of answer.headers.getSetCookie()) {
      const [pair, ...attributes] = set.split(';').map((part) => part.trim());
      const named = attributes.find((attribute) => /^path=\//i.test(attribute))?.slice(5);
      const path = named ?? (pathname.slice(0, pathname.lastIndexOf('/')) || '/');
      this.#cookies.set(`${pair.split('=')[0]} ${path}`, { pair, path });
    }
    return answer;
  }
}

const say = (content) => ({ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ role: 'user', content }) });

export default async function play(report, programs) {
  const secret = programs.file('secret');
  fs.writeFileSync(secret, crypto.randomBytes(32));
  const help = await programs.help();
  for (const prefix of ['', '/tutor', '/a/b']) {
    await report.check('11', `--access-secret ${prefix ? `behind a proxy that strips ${prefix}` : 'without a proxy'}`, async () => {
      // Where the program wants to be told the prefix, it is told.
      const option = help.match(/--[a-z-]*(?:prefix|cookie-path|base-path)[a-z-]*/)?.[0];
      const service = await programs.service({ args: ['--access-secret', secret, ...(option && prefix ? [option, prefix] : [])] });
      const proxy = prefix ? await below(prefix, service) : { base: service.base, close: () => {} };
      try {
        const [owner, other] = [new Browser(), new Browser()];
        const url = (id, rest = '') => `${proxy.base}/api/chat/session/${id}${rest}`;
        const seen = [];
        for (const id of ['s-1', 's-2']) {
          for (const [browser, rest, init] of [[owner, '/messages', say('mine')], [owner, '/messages', say('mine, again')], [owner, '', {}], [owner, '/messages?limit=1', {}], [other, '', {}]]) {
            const answer = await browser.fetch(url(id, rest), init);
            await answer.arrayBuffer();
            seen.push(answer.status);
          }
        }
        return [String(seen) === '200,200,200,200,403,200,200,200,200,403', `owner and, last, another, for two sessions: ${seen.join(' ')}${option ? ` (${option})` : ''}`];
      } finally {
        proxy.close();
        await service.stop();
      }
    });
  }
  await report.check('11', '--access-secret with --cors-origin works or is refused', async () => {
    let service;
    try {
      service = await programs.service({ args: ['--access-secret', secret, '--cors-origin', ORIGIN] });
    } catch (error) {
      const text = String(error.message);
      return [/cors-origin/.test(text) && /access-secret/.test(text), `it does not start: ${text}`];
    }
    const first = await service.ask('POST', 's-1', '/messages', { role: 'user', content: 'mine' }, { origin: ORIGIN });
    const cookie = first.headers.get('set-cookie') ?? '';
    const preflight = await fetch(service.url('s-1', '/messages'), { method: 'OPTIONS', headers: { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' } });
    await service.stop();
    const credentials = [first, preflight].map(({ headers }) => headers.get('access-control-allow-credentials'));
    const right = credentials.every((value) => value === 'true') && /SameSite=None/i.test(cookie) && first.headers.get('access-control-allow-origin') === ORIGIN;
    return [right, `both taken; allow-credentials: ${credentials.join(', ')}; cookie: ${cookie.replace(/=[0-9a-f]{64}/, '=…')}`];
  });
}
