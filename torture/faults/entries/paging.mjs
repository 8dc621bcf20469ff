// Entry 5: a page cursor names a message. Where that is gone, the cursor is, too; where it is there, the next page is.

export const ENTRIES = ['5', '13'];

export default async function play(report, programs) {
  const service = await programs.service({ clientMay: 'everything' });
  if (report.wants('5')) await cursors(report, service);
  await report.check('13', 'an empty before= means from the end', async () => {
    const id = 's-empty';
    for (const content of ['a', 'b', 'c']) await service.say(id, content);
    const [empty, plain] = [await service.get(id, '/messages?limit=2&before='), await service.get(id, '/messages?limit=2')];
    return [empty.status === 200 && empty.text === plain.text, `${empty.status} ${empty.text.slice(0, 120)}`];
  });
  await service.stop();
}

/** How another client changes the session between two pages, and whether the cursor's message is gone then. */
const CHANGES = [
  ['PUT / of other messages', (s, id) => s.ask('PUT', id, '', { messages: Array.from({ length: 30 }, (_, n) => ({ role: 'user', content: `other ${n}` })) }), true],
  ['PUT / without the last 25', async (s, id) => s.ask('PUT', id, '', { messages: (await s.get(id)).json.messages.slice(0, -25) }), true],
  ['/reset', (s, id) => s.ask('POST', id, '/reset'), true],
  ['a delete', (s, id) => s.ask('DELETE', id), true],
  ['a delete and a new beginning', async (s, id) => (await s.ask('DELETE', id), s.say(id, 'new')), true],
  ['/reset and as many messages again', async (s, id) => {
    const answer = await s.ask('POST', id, '/reset');
    for (let n = 0; n < 30; n++) await s.say(id, `again ${n}`);
    return answer;
  }, true],
  ['DELETE …/messages/{seq} of that message', async (s, id, seq) => s.ask('DELETE', id, `/messages/${seq}`), true],
  ['POST …/rewind to before it', async (s, id, seq) => s.ask('POST', id, '/rewind', { to: seq - 1 }), true],
  ['PUT / of the list as it is', async (s, id) => s.ask('PUT', id, '', { messages: (await s.get(id)).json.messages }), false],
  ['a change of the app state', (s, id) => s.ask('PUT', id, '/booking-info', null).then(() => s.ask('PUT', id, '', { lastSearchCriteria: null, extra: 1 })), false],
  ['another message', (s, id) => s.say(id, 'one more'), false],
  ['a change of an earlier message', async (s, id) => s.ask('PUT', id, '', { messages: (await s.get(id)).json.messages.map((m, n) => (n === 3 ? { ...m, content: 'changed' } : m)) }), false],
];

let sessions = 0;

async function cursors(report, service) {
  for (const [name, change, gone] of CHANGES) {
    for (const direction of ['before', 'after']) {
      await report.check('5', `${direction}=CURSOR after ${name}`, async () => {
        const id = `s-page-${(sessions += 1)}`;
        for (let n = 0; n < 30; n++) await service.say(id, `message ${n}`);
        const all = await service.rows(id);
        const end = (await service.get(id, '/messages?limit=10')).json;
        // Forward: from a message in the middle.
        const first = direction === 'before' ? end : (await service.get(id, `/messages?limit=5&after=${encodeURIComponent(end.next)}`)).json;
        const seq = first.messages.at(direction === 'before' ? 0 : -1).seq;
        const changed = await change(service, id, seq);
        if (changed.status === 404 || changed.status === 405) return [false, `there is no such route: ${changed.status}`];
        if (changed.status >= 400) throw new Error(`the change was refused: ${changed.status} ${changed.text}`);
        const page = await service.get(id, `/messages?limit=10&${direction}=${encodeURIComponent(first.next)}`);
        const seqs = page.json?.messages?.map((row) => row.seq) ?? [];
        const seen = `${page.status} ${page.status === 200 ? `seqs [${seqs}] next ${page.json.next ? 'yes' : 'null'}` : page.text.slice(0, 100)}`;
        if (gone) return [page.status === 410, seen];
        const wanted = direction === 'before' ? all.filter((row) => row.seq < seq).slice(-10) : all.filter((row) => row.seq > seq).slice(0, 10);
        return [page.status === 200 && wanted.length > 0 && wanted.every((row) => seqs.includes(row.seq)), `${seen}, wanted [${wanted.map((row) => row.seq)}]`];
      });
    }
  }
}
