// Serves the tutoring Worker with its page, as deployed: node serve.mjs HOST:PORT FOLDER
// [--stream-ms MS]. The folder keeps the sessions.
import path from 'node:path';
import { Miniflare } from 'miniflare';
import { CLASS, BINDING, COMPATIBILITY_DATE, ROOT, modulesOf } from './harness.mjs';

const [address, persist, streamed, ms] = process.argv.slice(2);
const [host, port] = address.split(':');

const miniflare = new Miniflare({
  host,
  port: Number(port),
  modules: modulesOf('tutor'),
  compatibilityDate: COMPATIBILITY_DATE,
  // The page's tests also write messages that a page may not write.
  bindings: { CLIENT_MAY: 'everything', ...(streamed === '--stream-ms' && { STREAM_MS: ms }) },
  durableObjects: { [BINDING]: { className: CLASS, useSQLite: true } },
  durableObjectsPersist: persist,
  assets: { directory: path.join(ROOT, 'apps/tutor-chat/page'), routerConfig: { has_user_worker: true } },
});
await miniflare.ready;
