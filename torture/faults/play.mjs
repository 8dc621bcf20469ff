#!/usr/bin/env node
// Plays every entry of the list of faults against built programs and says of each member of a kind whether it is
// WRONG or right, with the evidence: node play.mjs --tutor-chat BIN --replay BIN. Node 20 or newer; README.md has more.

import fs from 'node:fs';
import path from 'node:path';
import { Report } from './lib/report.mjs';
import { Programs } from './lib/programs.mjs';

const USAGE = `usage: node play.mjs --tutor-chat BIN --replay BIN [--crates BIN] [--root CHECKOUT]
                     [--workers DIR] [--only ENTRY] [--slow]
  --crates   the program of this folder, built against the checkout; without it its entries are skipped
  --root     the checkout whose README, docs and page are looked at; the one of this folder unless set
  --workers  what \`cargo xtask test workers\` builds, for the entries on workerd
  --only     one entry, such as 4 or 13a
  --slow     the full numbers of clients, and the waits of minutes`;

const KINDS = ['crates', 'sentences', 'replay', 'editing', 'paging', 'refusals', 'booking', 'streams', 'page', 'access', 'limit', 'bodies', 'crowd', 'worker'];

function parse(args) {
  const options = { root: path.resolve(import.meta.dirname, '../..'), slow: false };
  const valued = { '--tutor-chat': 'tutorChat', '--replay': 'replay', '--crates': 'crates', '--root': 'root', '--workers': 'workers', '--only': 'only' };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--slow') options.slow = true;
    else if (args[i] in valued && args[i + 1]) options[valued[args[i]]] = args[++i];
    else fail(`unknown or incomplete argument ${args[i]}\n${USAGE}`);
  }
  for (const [name, needed] of [['--tutor-chat', true], ['--replay', true], ['--crates', false]]) {
    const program = options[valued[name]];
    if (program && !fs.existsSync(program)) fail(`${name}: there is no ${program}`);
    if (!program && needed) fail(`${name} is missing\n${USAGE}`);
    if (program) options[valued[name]] = path.resolve(program);
  }
  return options;
}

function fail(text) {
  console.error(text);
  process.exit(2);
}

const options = parse(process.argv.slice(2));
const programs = new Programs(options);
const report = new Report(options.only);
try {
  for (const kind of KINDS) {
    const { default: play, ENTRIES } = await import(`./entries/${kind}.mjs`);
    if (!ENTRIES.some((entry) => report.wants(entry))) continue;
    await report.guard(ENTRIES.find((entry) => report.wants(entry)), `the checks of ${kind}`, () => play(report, programs, options));
  }
} finally {
  await programs.close();
}
process.exit(report.conclude());
