// Serves the Worker of examples/ai-chat-worker, as deployed: node serve-ai-chat.mjs HOST:PORT FOLDER
// TOKENS DELAY_MS TOOLS. The folder keeps the chats; TOOLS is `true` or `false`. The folder
// AI_CHAT_PAGE is the page, if it is set: requests for its files do not go to the Worker.
import { Miniflare } from 'miniflare';
import { CLASS, BINDING, COMPATIBILITY_DATE, modulesOf } from './harness.mjs';

const [address, persist, tokens, delay, tools] = process.argv.slice(2);
const [host, port] = address.split(':');
const page = process.env.AI_CHAT_PAGE;

const miniflare = new Miniflare({
  host,
  port: Number(port),
  modules: modulesOf('aiChat'),
  compatibilityDate: COMPATIBILITY_DATE,
  bindings: { TOKENS: tokens, DELAY_MS: delay, TOOLS: tools === 'true' ? 'on' : 'off' },
  durableObjects: { [BINDING]: { className: CLASS, useSQLite: true } },
  durableObjectsPersist: persist,
  ...(page && { assets: { directory: page, routerConfig: { has_user_worker: true } } }),
});
await miniflare.ready;
