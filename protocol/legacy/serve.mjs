#!/usr/bin/env node
// Serves a Worker module with its Durable Object class from Node, with its storage in memory:
// node serve.mjs [--port N]

import http from 'node:http';
import fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import * as legacy from './chat-session.mjs';

// As in workerd, a stored value is a structured clone: later changes of the value do not reach it.
class MemoryStorage {
  #values = new Map();

  async get(key) {
    return structuredClone(this.#values.get(key));
  }

  async put(key, value) {
    this.#values.set(key, structuredClone(value));
  }
}

class Namespace {
  #objects = new Map();

  constructor(Class) {
    this.Class = Class;
  }

  idFromName(name) {
    return name;
  }

  get(id) {
    if (!this.#objects.has(id)) this.#objects.set(id, new this.Class({ storage: new MemoryStorage() }, {}));
    return this.#objects.get(id);
  }
}

async function toRequest(incoming) {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const hasBody = !['GET', 'HEAD'].includes(incoming.method);
  return new Request(new URL(incoming.url, 'http://localhost'), {
    method: incoming.method,
    headers: Object.entries(incoming.headers).flatMap(([name, value]) => [value].flat().map(one => [name, one])),
    body: hasBody ? Buffer.concat(chunks) : undefined,
  });
}

/** Starts serving on 127.0.0.1; `close()` ends it. */
export async function serve({ default: worker, ChatSession } = legacy, port = 0) {
  const env = { CHAT_SESSION: new Namespace(ChatSession) };
  const server = http.createServer(async (incoming, outgoing) => {
    try {
      const answer = await worker.fetch(await toRequest(incoming), env);
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.end(Buffer.from(await answer.arrayBuffer()));
    } catch (error) {
      outgoing.writeHead(500, { 'content-type': 'application/json' });
      outgoing.end(JSON.stringify({ error: String(error.message) }));
    }
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const close = () => new Promise(resolve => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { base: `http://127.0.0.1:${server.address().port}`, close };
}

if (process.argv[1] && import.meta.url === pathToFileURL(fs.realpathSync(process.argv[1])).href) {
  const at = process.argv.indexOf('--port');
  const { base } = await serve(legacy, at < 0 ? 0 : Number(process.argv[at + 1]));
  console.log(`serving the whole-state object on ${base}`);
}
