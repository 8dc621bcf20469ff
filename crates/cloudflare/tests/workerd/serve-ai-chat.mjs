// Serves the Worker of examples/ai-chat-worker as the program `ai-chat` serves: node
// serve-ai-chat.mjs --addr HOST:PORT --store redb:PATH [--tokens N] [--delay-ms MS] [--tools]
// [--page FOLDER]. The folder PATH keeps the sessions. A kill of this process's group ends workerd,
// too.
import { parseArgs } from 'node:util';
import { Miniflare } from 'miniflare';
import { CLASS, BINDING, COMPATIBILITY_DATE, modulesOf } from './harness.mjs';

const text = { type: 'string' };
const { values } = parseArgs({
  options: { addr: text, store: text, tokens: text, 'delay-ms': text, page: text, tools: { type: 'boolean' } },
});
const [host, port] = values.addr.split(':');

const miniflare = new Miniflare({
  host,
  port: Number(port),
  modules: modulesOf('aiChat'),
  compatibilityDate: COMPATIBILITY_DATE,
  bindings: {
    ...(values.tokens && { TOKENS: values.tokens }),
    ...(values['delay-ms'] && { DELAY_MS: values['delay-ms'] }),
    ...(values.tools && { TOOLS: 'on' }),
  },
  durableObjects: { [BINDING]: { className: CLASS, useSQLite: true } },
  durableObjectsPersist: values.store.replace(/^redb:/, ''),
  ...(values.page && { assets: { directory: values.page, routerConfig: { has_user_worker: true } } }),
});
console.log((await miniflare.ready).origin);
