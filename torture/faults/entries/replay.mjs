// Entries 2, 3 and 6: the inputs that `replay` takes, and its errors for the others.

import fs from 'node:fs';
import zlib from 'node:zlib';

export const ENTRIES = ['2', '3', '6'];

const message = (content, more = {}) => ({ role: 'user', content, timestamp: 1763264606917, ...more });
const conversation = (id, messages = [message('hello'), message('and goodbye')]) => ({ id, messages });
const lines = (...values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const ABC = [conversation('s-a'), conversation('s-b'), conversation('s-c')];

/** An empty ZIP archive. */
const ZIP = Buffer.concat([Buffer.from('PK\x05\x06', 'latin1'), Buffer.alloc(18)]);

const CHATGPT = [{
  title: 'Python', create_time: 1763264606.917, current_node: 'n2',
  mapping: {
    n1: { id: 'n1', parent: null, children: ['n2'], message: { author: { role: 'user' }, content: { content_type: 'text', parts: ['hi'] } } },
    n2: { id: 'n2', parent: 'n1', children: [], message: { author: { role: 'assistant' }, content: { content_type: 'text', parts: ['hello'] } } },
  },
}];
const SHAREGPT = { id: 'QWJhYvA_0', conversations: [{ from: 'human', value: 'hi' }, { from: 'gpt', value: 'hello' }] };
const FINE_TUNE = { messages: [{ role: 'user', content: 'hi' }, { role: 'assistant', content: 'hello' }] };

async function replay(programs, bytes, db = programs.file('replay.redb'), name = 'input.jsonl') {
  const file = programs.file(name);
  fs.writeFileSync(file, bytes);
  const { code, stdout, stderr } = await programs.replay([file, '--db', db]);
  const verdict = stdout.split('\n').filter((line) => line.startsWith('verified ')).pop() ?? '';
  const counts = Object.fromEntries([...verdict.matchAll(/(\w+)=(\d+)/g)].map(([, name, number]) => [name, Number(number)]));
  const told = `${stdout}\n${stderr}`.replaceAll(programs.folder, '');
  return { code, verdict, counts, told, seen: `exit ${code}; ${verdict || 'no verdict'}; ${stderr.replaceAll(programs.folder, '').slice(0, 200)}` };
}

/** Without the rate, which differs from run to run. */
const steady = (verdict) => verdict.replace(/appends_per_s=\S+ ?/, '').trim();

export default async function play(report, programs) {
  await refused(report, programs);
  await taken(report, programs);
  await goesOn(report, programs);
  await times(report, programs);
}

/** None of these inputs can be taken: exit 2, and the output names the argument. */
async function refused(report, programs) {
  for (const [name, bytes, named, file] of [
    ['a ChatGPT export', JSON.stringify(CHATGPT), /ChatGPT|mapping/i, 'conversations.json'],
    ['a ChatGPT export, indented', JSON.stringify(CHATGPT, null, 2), /ChatGPT|mapping/i, 'conversations.json'],
    ['ShareGPT lines', lines(SHAREGPT, SHAREGPT), /ShareGPT|conversations/i],
    ['one ShareGPT array', JSON.stringify([SHAREGPT, SHAREGPT]), /ShareGPT|conversations/i, 'sharegpt.json'],
    ['fine-tune lines', lines(FINE_TUNE, FINE_TUNE), /fine-tun|\bid\b/i],
    ['a line without id', lines({ messages: [message('hi')] }), /\bid\b/],
    ['a ZIP archive', ZIP, /\bzip\b/i, 'export.zip'],
    ['UTF-16', Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(lines(...ABC), 'utf16le')]), /UTF-?16/i],
    ['an empty file', '', /empty|nothing|no conversation/i],
    ['blank lines', '\n\n  \n', /empty|nothing|no conversation/i],
    ['an empty array', '[]', /empty|nothing|no conversation/i],
  ]) {
    await report.check('2', `${name} is no success`, async () => {
      const { code, verdict, told, seen } = await replay(programs, bytes, undefined, file);
      return [code === 2 && (verdict === '' || /skipped=\d+$/.test(verdict)) && named.test(told), seen];
    });
  }
}

/** All of these is taken: exit 0, the same again on a second run. */
async function taken(report, programs) {
  const jsonl = lines(...ABC);
  await report.check('2', 'the verdict ends with what was skipped', async () => {
    const { verdict, seen } = await replay(programs, jsonl);
    return [/ skipped=0$/.test(verdict), seen];
  });
  for (const [entry, name, bytes, sessions] of [
    ['2', 'JSON Lines', jsonl, 3],
    ['2', 'a UTF-8 BOM', `\ufeff${jsonl}`, 3],
    ['2', 'CRLF', jsonl.replaceAll('\n', '\r\n'), 3],
    ['2', 'no newline at the end', jsonl.trimEnd(), 3],
    ['2', 'gzip', zlib.gzipSync(jsonl), 3],
    ['2', 'gzip with a BOM inside', zlib.gzipSync(`\ufeff${jsonl}`), 3],
    ['2', 'one JSON array', JSON.stringify(ABC), 3],
    ['2', 'one JSON array, indented', JSON.stringify(ABC, null, 2), 3],
    ['3', 'the same message twice in a line', lines(conversation('s-a', [message('hi', { id: 'm' }), message('hi', { id: 'm' }), message('bye')])), 1],
    ['3', 'the same message without an id twice', lines(conversation('s-a', [message('hi'), message('hi')])), 1],
  ]) {
    await report.check(entry, `${name} is taken, also when run again`, async () => {
      const db = programs.file('replay.redb');
      const first = await replay(programs, bytes, db);
      const again = await replay(programs, bytes, db);
      const all = first.code === 0 && first.counts.sessions === sessions && first.counts.lost === 0 && (first.counts.skipped ?? 0) === 0;
      const same = again.code === 0 && steady(again.verdict) === steady(first.verdict);
      return [all && same, `${first.seen}${steady(again.verdict) === steady(first.verdict) ? '' : `; again: ${again.seen}`}`];
    });
  }
}

/** One conversation that cannot be taken does not stop the others: exit 2, and the second run says the same. */
async function goesOn(report, programs) {
  const large = conversation('s-large', [message('x'.repeat(1_400_000))]);
  const twice = conversation('s-twice', [message('one', { id: 'm' }), message('two', { id: 'm' })]);
  const later = { ...conversation('s-a'), messages: [message('another one under a known session id')] };
  for (const [name, bad, skipped] of [
    ['a message of 1.4 MB', [large], 1],
    ['an id twice with other content', [twice], 1],
    ['both', [large, twice], 2],
    ['a session id that was there before', [later], 1],
    ['a line that is not JSON', ['{"id":"s-x","messages":['], 1],
    ['a message without role', [conversation('s-x', [{ content: 'hi' }])], 1],
    ['a ShareGPT line', [SHAREGPT], 1],
    ['a line without id', [FINE_TUNE], 1],
  ]) {
    await report.check('3', `${name} between two others stops neither`, async () => {
      const db = programs.file('replay.redb');
      const bytes = [ABC[0], ...bad, ABC[1]].map((line) => (typeof line === 'string' ? `${line}\n` : lines(line))).join('');
      const first = await replay(programs, bytes, db);
      const again = await replay(programs, bytes, db);
      // The two others alone: all of them is there.
      const others = await replay(programs, lines(ABC[0], ABC[1]), db);
      const right = first.code === 2 && first.counts.skipped === skipped && first.counts.lost === 0
        && again.code === 2 && steady(again.verdict) === steady(first.verdict)
        // Nothing was left to add for it.
        && others.code === 0 && others.counts.sessions === 2 && others.counts.appends_per_s === 0;
      return [right, `${first.seen}; again: exit ${again.code} ${steady(again.verdict) || 'no verdict'}; the others: exit ${others.code} ${steady(others.verdict)}`];
    });
  }
}

/** The time of an exported session in other units, through the program. */
async function times(report, programs) {
  const state = (createdAt, lastAccessedAt = createdAt) => ({ id: 's-t', state: { messages: [message('hi')], createdAt, lastAccessedAt } });
  const plain = await replay(programs, lines(state(1763264606917)));
  if (plain.counts.sessions !== 1) {
    await report.check('6', 'replay takes no exported sessions, whose times could be wrong', async () => [plain.code === 2, plain.seen]);
    return;
  }
  for (const [value, unit] of [[1763264606, /\bseconds/], [1763264606917000, /microseconds/], ['1763264606917000000', /nanoseconds/]]) {
    await report.check('6', `replay refuses createdAt ${value} and names the unit`, async () => {
      const { code, told, seen } = await replay(programs, lines(state(1)).replaceAll(':1,', `:${value},`).replaceAll(':1}', `:${value}}`));
      return [code === 2 && unit.test(told) && told.includes('createdAt'), seen];
    });
  }
  await report.check('6', 'replay takes createdAt 1763264606917.0', async () => {
    const { code, seen } = await replay(programs, lines(state(1763264606917)).replaceAll('1763264606917,"last', '1763264606917.0,"last'));
    return [code === 0, seen];
  });
}
