#!/usr/bin/env node
// Plays the golden scenarios against a server: node play.mjs --base http://127.0.0.1:PORT [--only core|all|replies] [--legacy]
// Node 20 or newer, no dependencies. README.md describes the files.

import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { differences, fill } from './match.mjs';
import { Listener } from './listener.mjs';

const GOLDEN = path.join(import.meta.dirname, 'golden');
const PREFIX = '/api/chat/session';
const TIMEOUT_MS = 15_000;

/** All scenarios in order, each with its file. */
export function scenarios(folder = GOLDEN) {
  return fs.readdirSync(folder).filter(name => name.endsWith('.json')).sort().flatMap(file => {
    const { scenarios: list } = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    return list.map(scenario => ({ file, ...scenario }));
  });
}

function freshId() {
  const random = crypto.getRandomValues(new Uint8Array(20));
  return `session-${Date.now()}-${Array.from(random, byte => (byte % 36).toString(36)).join('')}`;
}

function bodyOf(step, captures) {
  if ('json' in step) return JSON.stringify(fill(step.json, captures));
  if ('text' in step) return fill(step.text, captures);
  if ('base64' in step) return Buffer.from(step.base64, 'base64');
  if ('parts' in step) return step.parts.map(part => (typeof part === 'string' ? part : part.repeat.repeat(part.times))).join('');
  return undefined;
}

function requestOf(step, captures) {
  const headers = new Headers(fill(step.headers ?? {}, captures));
  const body = bodyOf(step, captures);
  if (body !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/json');
  return { path: fill(step.path.replace(/^~/, `${PREFIX}/{{=id}}`), captures), init: { method: step.method ?? 'GET', headers, body } };
}

function checkHead(expect, response, captures) {
  const allowed = [expect.status ?? 200].flat();
  const wrong = allowed.includes(response.status) ? [] : [`status: expected ${allowed.join(' or ')}, got ${response.status}`];
  for (const [name, pattern] of Object.entries(expect.headers ?? {})) {
    wrong.push(...differences(pattern, response.headers.get(name) ?? undefined, captures, `header ${name}`));
  }
  return wrong;
}

async function checkAnswer(expect, response, captures) {
  const text = await response.text();
  const wrong = checkHead(expect, response, captures);
  if (wrong.some(line => line.startsWith('status:'))) return [`${wrong[0]}: ${text.slice(0, 200)}`];
  const pattern = 'error' in expect ? { error: expect.error === true ? '{{nonempty}}' : expect.error } : expect.json;
  if (pattern !== undefined) {
    wrong.push(...differences('{{starting application/json}}', response.headers.get('content-type') ?? undefined, captures, 'header content-type'));
    try {
      wrong.push(...differences(pattern, JSON.parse(text), captures));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      wrong.push(`body: not JSON: ${text.slice(0, 200)}`);
    }
  }
  if (expect.empty && text !== '') wrong.push(`body: expected none, got ${text.slice(0, 200)}`);
  for (const piece of expect.textContains ?? []) {
    if (!text.includes(piece)) wrong.push(`body: expected to contain ${piece}, got ${text.slice(0, 600)}`);
  }
  return wrong;
}

async function playStep(step, world) {
  const { captures, listeners } = world;
  const expect = step.expect ?? {};
  if ('close' in step) {
    listeners.get(step.close).close();
    return [];
  }
  if ('event' in step) {
    const event = await listeners.get(step.event).next(expect.event);
    return event ? differences(expect, event, captures, 'event') : [`no ${expect.event} event within the time`];
  }
  const { path: target, init } = requestOf(step, captures);
  const url = new URL(target, world.base);
  if ('listen' in step) {
    const listener = await Listener.open(world.fetch, url, init.headers);
    listeners.set(step.listen, listener);
    return checkHead(expect, listener.response, captures);
  }
  const response = await world.fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  return checkAnswer(expect, response, captures);
}

/** Plays one scenario; returns what differs, empty when it passes. */
export async function playScenario(scenario, { base, fetch = globalThis.fetch }) {
  const world = { base, fetch, captures: { id: freshId(), id2: freshId() }, listeners: new Map() };
  try {
    for (const [i, step] of scenario.steps.entries()) {
      const name = step.method ? `${step.method} ${step.path}` : `${Object.keys(step)[0]} ${Object.values(step)[0]}`;
      let wrong;
      try {
        wrong = await playStep(step, world);
      } catch (error) {
        wrong = [`${error.message}${error.cause ? `: ${error.cause.message ?? error.cause}` : ''}`];
      }
      if (wrong.length > 0) return wrong.map(line => `step ${i + 1} (${name}): ${line}`);
    }
    return [];
  } finally {
    for (const listener of world.listeners.values()) listener.close();
  }
}

/**
 * Plays the golden scenarios and prints a line for each.
 * `only: 'core'` leaves out what the extended protocol adds; `only: 'replies'` plays the scenarios for a server that
 * answers users by replies, which are left out otherwise; `legacy` plays all of them and reports the extended ones that
 * do not pass as differences instead of failures.
 */
export async function play({ base, only = 'all', legacy = false, fetch, list = scenarios(), print = console.log }) {
  const totals = { passed: 0, failed: 0, skipped: 0, differs: [] };
  for (const scenario of list) {
    if (Boolean(scenario.replies) !== (only === 'replies')) continue;
    const name = `${scenario.file.replace(/\.json$/, '')}: ${scenario.name}`;
    if (only === 'core' && scenario.extends) {
      totals.skipped += 1;
      continue;
    }
    const wrong = await playScenario(scenario, { base, fetch });
    const differs = wrong.length > 0 && legacy && scenario.extends;
    if (wrong.length === 0) totals.passed += 1;
    else if (differs) totals.differs.push(name);
    else totals.failed += 1;
    print(`${wrong.length === 0 ? 'ok     ' : differs ? 'differs' : 'FAIL   '} ${name}`);
    for (const line of wrong) print(`          ${line}`);
  }
  if (legacy) print(`${totals.differs.length} of ${list.filter(s => s.extends && !s.replies).length} scenarios of the extended protocol differ`);
  const skipped = totals.skipped + totals.differs.length;
  print(`${totals.passed} passed, ${totals.failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
  return totals;
}

function options(args) {
  const usage = 'usage: node play.mjs --base http://HOST:PORT [--only core|all|replies] [--legacy]';
  const found = { only: 'all', legacy: false };
  for (let i = 0; i < args.length; i += 1) {
    if (args[i] === '--base') found.base = args[++i];
    else if (args[i] === '--only' && ['core', 'all', 'replies'].includes(args[i + 1])) found.only = args[++i];
    else if (args[i] === '--legacy') found.legacy = true;
    else throw new Error(`${args[i]} is not understood\n${usage}`);
  }
  if (!found.base) throw new Error(usage);
  return found;
}

if (process.argv[1] && import.meta.url === pathToFileURL(fs.realpathSync(process.argv[1])).href) {
  try {
    const { failed, passed } = await play(options(process.argv.slice(2)));
    process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
