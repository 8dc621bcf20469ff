// The golden scenarios of the wire protocol against the server itself, over redb; no browser takes part.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { EVERYTHING, ROOT, Server } from './server.mjs';

const { play, scenarios } = await import(pathToFileURL(path.join(ROOT, 'protocol/play.mjs')).href);

async function everyScenario() {
  // Messages are stored without answering them, and as fast as they come.
  const server = await Server.start(`--no-answers --rate 0 ${EVERYTHING}`);
  const lines = [];
  try {
    const { passed, failed } = await play({ base: server.base, print: line => lines.push(line) });
    assert.equal(failed, 0, lines.join('\n'));
    assert.equal(passed, scenarios().length);
  } finally {
    await server.close();
  }
}

// Any other server (TUTOR_CHAT_CMD) may answer what is posted and cannot be told not to; the Worker's own tests play them to it.
if (!process.env.TUTOR_CHAT_CMD) test('the server passes every golden scenario', everyScenario);
