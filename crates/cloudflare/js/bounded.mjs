// Every request gets an answer in bounded time, even when WebAssembly fails.
//
// A Rust Worker built with the stable toolchain aborts its WebAssembly instance on a panic. No
// promise of that instance is settled then, neither that of the request that panicked nor those of
// the others in flight, and the platform waits for minutes. These wrappers live outside of
// WebAssembly, so they can answer instead. A new instance serves the next request from the storage.
//
//   import Inner, { ChatSession as InnerObject } from './build/index.js';
//   import { bounded, boundedObject } from './bounded.mjs';
//   export const ChatSession = boundedObject(InnerObject);
//   export default bounded(Inner);

// A slow upload takes less. A request that takes longer has failed.
const LIMIT_MS = 30_000;

/** One function per request in flight; calling it rejects the request. */
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

    // The platform repeats an alarm that failed.
    alarm() {
      return within(() => this.inner.alarm());
    }
  };
