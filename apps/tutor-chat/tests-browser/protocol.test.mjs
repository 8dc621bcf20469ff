// The golden scenarios of the wire protocol against the server itself, over redb; no browser takes
// part.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { EVERYTHING, ROOT, Server } from './server.mjs';

const { play, scenarios } = await import(pathToFileURL(path.join(ROOT, 'protocol/play.mjs')).href);

async function everyScenario(only, options) {
  const server = await Server.start(`--rate 0 ${options} ${EVERYTHING}`);
  const lines = [];
  try {
    const { passed, failed } = await play({ base: server.base, only, print: line => lines.push(line) });
    assert.equal(failed, 0, lines.join('\n'));
    assert.equal(passed, scenarios().filter(({ replies }) => Boolean(replies) === (only === 'replies')).length);
  } finally {
    await server.close();
  }
}

// Another server (TUTOR_CHAT_CMD) may answer posted messages, and the test cannot turn that off.
// The Worker's own tests play the scenarios to the Worker.
if (!process.env.TUTOR_CHAT_CMD) {
  // Messages are stored without answering them, and as fast as they come.
  test('the server passes every golden scenario', () => everyScenario('all', '--no-answers'));
  test('the server passes every golden scenario of replies', () => everyScenario('replies', '--stream-ms 60'));
}
