// Sentences of the README and the docs that are not true when tried, and others that are missing.

import fs from 'node:fs';
import path from 'node:path';

export const ENTRIES = ['1', '8b', '8e', '8f'];

/** The paragraphs and list items of a Markdown file, each on one line. */
function statements(root, file) {
  const text = fs.readFileSync(path.join(root, file), 'utf8');
  return text.split(/\n\s*\n|\n(?=[-*#|] ?)/).map((statement) => statement.replace(/\s+/g, ' ').trim()).filter(Boolean);
}

const docs = (root) => fs.readdirSync(path.join(root, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`);

export default async function play(report, programs, { root }) {
  // The window of C7 counts messages and bytes. A sentence on retries has to say that it ends somewhere.
  const bounded = /window|last|recent|bytes|KiB|among|as long as|\bC7\b/i;
  for (const [file, about] of [
    ['README.md', /retries are (safe|found)|message with an `?id`? is stored once/i],
    ['docs/contract.md', /C7 Idempotence/],
    ['docs/http.md', /\b(retry|retries|again)\b.*\b(id|idempot)|\b(id|idempot)[^.]*\b(retry|retries|again|once)\b/i],
  ]) {
    await report.check('1', `${file} says how far retries are safe`, () => {
      const found = statements(root, file).filter((statement) => about.test(statement));
      const unbounded = found.filter((statement) => !bounded.test(statement));
      return [found.length > 0 && unbounded.length === 0, unbounded[0] ?? found[0] ?? 'nothing is said'];
    });
  }
  if (report.wants('1')) await again(report, programs);

  const somewhere = (about) => {
    const found = docs(root).concat('README.md').flatMap((file) => statements(root, file).filter((statement) => about(statement)).map((statement) => `${file}: ${statement}`));
    return [found.length > 0, found[0] ?? 'no page says it'];
  };
  await report.check('8b', 'the docs say that two registries over one store read stale', () =>
    somewhere((text) => /two|second|another|other|one/i.test(text) && /registr|ChatSessions/.test(text) && /stale|not see|does not (notice|learn)|until/i.test(text) && /store/i.test(text)));
  await report.check('8e', 'the docs say that dropping closes in the background', () => somewhere((text) => /drop/i.test(text) && /background/i.test(text) && /clos/i.test(text)));
  await report.check('8e', 'the docs name wait_for_lock', () => somewhere((text) => text.includes('wait_for_lock')));
  await report.check('8f', 'the docs say that deleted text stays in the file until compact()', () =>
    somewhere((text) => /delete|remove/i.test(text) && /compact/.test(text) && /text|words|bytes|content|message/i.test(text) && /stay|remain|still|until|left/i.test(text)));
  await report.check('8f', 'a page links to the advice on slow answers', () => {
    // The advice is in the section on answers of docs/http.md; a link to something else there does not lead to it.
    const pages = docs(root).concat('README.md').filter((file) => file !== 'docs/http.md');
    const linking = pages.filter((file) => /\((docs\/)?http\.md#an-app-that-answers\)/.test(fs.readFileSync(path.join(root, file), 'utf8')));
    const there = /^## An app that answers$[^#]*take time/m.test(fs.readFileSync(path.join(root, 'docs/http.md'), 'utf8'));
    return [there && linking.length > 0, linking.join(', ') || 'no page links to it'];
  });
}

/** More than the engine keeps of a session's end: found by the tag of its id, which the store has beside it. */
async function again(report, programs) {
  await report.guard('1', 'a large message sent again', async () => {
    const service = await programs.service({ clientMay: 'everything', answers: true });
    const large = { role: 'user', id: 'm1', content: 'x'.repeat(270_000) };
    for (let n = 0; n < 2; n++) await service.ask('POST', 's-1', '/messages', large);
    const { json } = await service.get('s-1', '/messages');
    await service.stop();
    const stored = json.filter((message) => message.id === 'm1').length;
    report.say('1', 'a large message sent again', stored === 1 && json.length === 3 ? 'right' : 'WRONG', `it is there ${stored} times, in ${json.length} messages where 3 are right`);
  });
}
