// Every request gets an answer in bounded time, whatever happens in WebAssembly.
//
// A panic of a Rust Worker built with the stable toolchain aborts the WebAssembly instance: promises that it had made are
// never settled, neither that of the request that panicked nor those of the others in flight, and the platform waits
// for minutes. These wrappers live outside of WebAssembly, so they can answer instead. The next request is served
// by a new instance, from what is stored.
//
//   import Inner, { ChatSession as InnerObject } from './build/index.js';
//   import { bounded, boundedObject } from './bounded.mjs';
//   export const ChatSession = boundedObject(InnerObject);
//   export default bounded(Inner);

// A slow upload is no failure; what takes longer than this is.
const LIMIT_MS = 30_000;

/** Calls of the requests in flight that give up on them. */
const pending = new Set();

addEventListener('error', (event) => {
  if (!(event.error instanceof WebAssembly.RuntimeError)) return;
  for (const giveUp of pending) giveUp(event.error);
});

async function within(work) {
  let giveUp;
  let timer;
  const lost = new Promise((_, reject) => {
    giveUp = reject;
    timer = setTimeout(() => reject(new Error('no answer in time')), LIMIT_MS);
  });
  pending.add(giveUp);
  try {
    return await Promise.race([work(), lost]);
  } finally {
    pending.delete(giveUp);
    clearTimeout(timer);
  }
}

const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' };
const failed = (error) => {
  console.error('the request was given up:', error?.message ?? error);
  return new Response('{"error":"internal error; what was acknowledged before is stored"}', { status: 500, headers });
};

/** The Worker, bounded. */
export const bounded = (Inner) => ({
  fetch: (request, env, ctx) => within(() => new Inner(ctx, env).fetch(request)).catch(failed),
});

/** The Durable Object's class, bounded. */
export const boundedObject = (Inner) =>
  class {
    constructor(ctx, env) {
      this.inner = new Inner(ctx, env);
    }

    fetch(request) {
      return within(() => this.inner.fetch(request)).catch(failed);
    }

    // The platform runs an alarm again that failed.
    alarm() {
      return within(() => this.inner.alarm());
    }
  };
