// Entry 4: changing a conversation of any size over HTTP, and the roles that a client may post.
// Of entry 8f: the answer to a POST has the message's seq.

export const ENTRIES = ['4', '8f'];

export default async function play(report, programs) {
  const service = await programs.service({ clientMay: 'everything' });
  if (report.wants('8f')) await seqs(report, service);
  if (!report.wants('4')) return service.stop();
  await messages(report, service);
  await difference(report, service);
  await service.stop();
  // In memory there is no limit to a commit.
  const durable = await programs.service({ clientMay: 'everything', store: 'redb' });
  await sizes(report, durable);
  await durable.stop();
  await roles(report, programs);
}

let sessions = 0;

/** A new session with these messages after the greeting. */
async function begun(service, ...contents) {
  const id = `s-${(sessions += 1)}`;
  for (const content of contents) {
    const { status, text } = await service.say(id, content);
    if (status !== 200) throw new Error(`POST: ${status} ${text}`);
  }
  return id;
}

const brief = ({ status, text }) => `${status} ${text.slice(0, 120)}`;
const told = (rows) => rows.map(({ seq, message }) => `${seq}:${String(message.content).slice(0, 12)}`).join(' ');

async function seqs(report, service) {
  await report.check('8f', 'POST answers the seq, also when sent again', async () => {
    const id = await begun(service, 'a');
    const answers = [];
    for (let n = 0; n < 2; n++) answers.push(await service.say(id, 'b', { id: 'm-1' }));
    const rows = await service.rows(id);
    const seq = rows.find(({ message }) => message.id === 'm-1').seq;
    return [answers.every(({ json }) => json?.seq === seq && json.success === true), `stored at ${seq}; ${answers.map(brief).join(' and ')}`];
  });
}

async function messages(report, service) {
  const edits = [
    ['PUT …/messages/{seq}', (id, seq, tag) => service.ask('PUT', id, `/messages/${seq}`, { role: 'user', content: 'edited' }, tag), ['a', 'edited', 'c', 'd']],
    ['DELETE …/messages/{seq}', (id, seq, tag) => service.ask('DELETE', id, `/messages/${seq}`, undefined, tag), ['a', 'c', 'd']],
    ['POST …/rewind', (id, seq, tag) => service.ask('POST', id, '/rewind', { to: seq }, tag), ['a', 'b']],
  ];
  for (const [name, edit, after] of edits) {
    for (const [how, tagOf] of [['with If-Match', (etag) => ({ 'if-match': etag })], ['with If-Match of a proxy (W/)', (etag) => ({ 'if-match': `W/${etag.replace(/^W\//, '')}` })], ['without If-Match', () => ({})]]) {
      await report.check('4', `${name} ${how}`, async () => {
        const id = await begun(service, 'a', 'b', 'c', 'd');
        const before = await service.rows(id);
        const { seq } = before.find(({ message }) => message.content === 'b');
        const answer = await edit(id, seq, tagOf((await service.get(id)).etag));
        const rows = await service.rows(id);
        const kept = rows.every((row) => before.some(({ seq }) => seq === row.seq));
        const contents = rows.map(({ message }) => message.content).filter((content) => after.includes(content) || 'abcd'.includes(content));
        return [answer.status === 200 && kept && String(contents) === String(after), `${brief(answer)}; ${told(rows)}`];
      });
    }
    await report.check('4', `${name} with the tag of an older version`, async () => {
      const id = await begun(service, 'a', 'b', 'c', 'd');
      const { etag } = await service.get(id);
      await service.say(id, 'e');
      const before = await service.rows(id);
      const answer = await edit(id, before.find(({ message }) => message.content === 'b').seq, { 'if-match': etag });
      return [answer.status === 412 && told(await service.rows(id)) === told(before), brief(answer)];
    });
    await report.check('4', `${name} of a message that is not there`, async () => {
      const id = await begun(service, 'a');
      const before = await service.rows(id);
      const answer = await edit(id, 999, {});
      const says = /999|seq|message/.test(answer.text) && answer.text !== '{"error":"not found"}';
      return [answer.status === 404 && says && told(await service.rows(id)) === told(before), brief(answer)];
    });
  }
}

async function difference(report, service) {
  const put = async (id, change) => {
    const before = { ...(await service.get(id)), rows: await service.rows(id) };
    const { messages } = before.json;
    const answer = await service.ask('PUT', id, '', { messages: change(messages) });
    return { before, answer, after: await service.get(id), rows: await service.rows(id) };
  };
  await report.check('4', 'PUT / of the list as it is keeps ETag and seqs', async () => {
    const { before, answer, after, rows } = await put(await begun(service, 'a', 'b', 'c'), (list) => list);
    return [answer.status === 200 && after.etag === before.etag && told(rows) === told(before.rows), `${told(before.rows)} -> ${told(rows)}, ETag ${after.etag === before.etag ? 'kept' : 'changed'}`];
  });
  await report.check('4', 'PUT / of the state as it is keeps ETag and seqs', async () => {
    const id = await begun(service, 'a', 'b');
    const before = await service.get(id);
    const answer = await service.ask('PUT', id, '', before.text);
    const after = await service.get(id);
    return [answer.status === 200 && after.etag === before.etag, `${answer.status}, ETag ${after.etag === before.etag ? 'kept' : 'changed'}`];
  });
  for (const [name, change, kept] of [
    ['one changed in place', (list) => list.map((m) => (m.content === 'b' ? { ...m, content: 'B' } : m)), ['a', 'B', 'c', 'd']],
    ['one more at the end', (list) => [...list, { role: 'user', content: 'e' }], ['a', 'b', 'c', 'd']],
    ['one left out', (list) => list.filter((m) => m.content !== 'b'), ['a', 'c', 'd']],
    ['one put in before c', (list) => list.flatMap((m) => (m.content === 'c' ? [{ role: 'user', content: 'n' }, m] : [m])), ['a', 'b']],
  ]) {
    await report.check('4', `PUT / of a list with ${name} keeps the seqs before and beside it`, async () => {
      const { before, answer, after, rows } = await put(await begun(service, 'a', 'b', 'c', 'd'), change);
      const seqOf = (list, content) => list.find(({ message }) => message.content.toLowerCase() === content.toLowerCase())?.seq;
      const same = kept.every((content) => seqOf(before.rows, content) === seqOf(rows, content));
      const wanted = change(before.json.messages).map((m) => m.content);
      const stored = after.json.messages.map((m) => m.content);
      return [answer.status === 200 && same && String(stored) === String(wanted), `${told(before.rows)} -> ${told(rows)}`];
    });
  }
}

async function sizes(report, service) {
  const grown = async (count) => {
    const id = `s-${(sessions += 1)}`;
    const first = Array.from({ length: Math.min(count, 4000) }, (_, n) => ({ role: 'user', content: `message ${n}` }));
    await service.ask('PUT', id, '', { messages: first });
    for (let n = first.length; n < count; n += 50) {
      await Promise.all(Array.from({ length: Math.min(50, count - n) }, (_, k) => service.say(id, `message ${n + k}`)));
    }
    const { json } = await service.get(id);
    if (json.messages.length !== count) throw new Error(`${json.messages.length} messages instead of ${count}`);
    return id;
  };
  for (const count of [4093, 4094, 5001]) {
    await report.check('4', `${count} messages can be put back as GET gave them, and one of them changed`, async () => {
      const id = await grown(count);
      const before = await service.get(id);
      const back = await service.ask('PUT', id, '', before.text);
      const tag = (await service.get(id)).etag;
      const changed = before.json.messages.map((m, n) => (n === 17 ? { ...m, content: 'changed' } : m));
      const put = await service.ask('PUT', id, '', { messages: changed });
      const after = await service.get(id);
      const right = back.status === 200 && tag === before.etag && put.status === 200 && after.json.messages[17].content === 'changed';
      return [right, `put back: ${brief(back)}, ETag ${tag === before.etag ? 'kept' : 'changed'}; changed: ${put.status}`];
    });
  }
  for (const [mb, count] of [[3.2, 4], [4.8, 6], [9.6, 12]]) {
    await report.check('4', `a state of ${mb} MB can be put back as GET gave it`, async () => {
      const id = await begun(service, ...Array.from({ length: count }, (_, n) => `${n}`.padEnd(800_000, 'x')));
      const before = await service.get(id);
      const back = await service.ask('PUT', id, '', before.text);
      const after = await service.get(id);
      return [back.status === 200 && after.etag === before.etag, `${before.text.length} bytes: ${brief(back)}, ETag ${after.etag === before.etag ? 'kept' : 'changed'}`];
    });
  }
}

/** `--client-may public`, which is also the default. */
async function roles(report, programs) {
  for (const clientMay of [undefined, 'public']) {
    const service = await programs.service({ clientMay });
    const name = clientMay ? `--client-may ${clientMay}` : 'without --client-may';
    const start = async () => {
      const id = await begun(service, 'mine');
      return { id, before: told(await service.rows(id)) };
    };
    for (const role of ['assistant', 'system', 'tool']) {
      await report.check('4', `${name}: a message of role ${role} is refused`, async () => {
        const { id, before } = await start();
        const answer = await service.ask('POST', id, '/messages', { role, content: 'not mine' });
        return [answer.status >= 400 && answer.status < 500 && told(await service.rows(id)) === before, brief(answer)];
      });
    }
    for (const [what, ask] of [
      ['`messages` in PUT /', (id) => service.ask('PUT', id, '', { messages: [{ role: 'assistant', content: 'not mine' }] })],
      ['an empty `messages` in PUT /', (id) => service.ask('PUT', id, '', { messages: [] })],
      ['PUT …/messages/{seq}', (id) => service.ask('PUT', id, '/messages/2', { role: 'user', content: 'edited' })],
      ['DELETE …/messages/{seq}', (id) => service.ask('DELETE', id, '/messages/2')],
      ['POST …/rewind', (id) => service.ask('POST', id, '/rewind', { to: 1 })],
    ]) {
      await report.check('4', `${name}: ${what} is refused`, async () => {
        const { id, before } = await start();
        const answer = await ask(id);
        const rows = told(await service.rows(id));
        return [answer.status >= 400 && answer.status < 500 && rows === before, `${brief(answer)}; ${rows}`];
      });
    }
    await report.check('4', `${name}: a person's message and the app's fields are taken`, async () => {
      const { id } = await start();
      const answers = [await service.say(id, 'mine, too'), await service.ask('PUT', id, '', { pendingMatch: null }), await service.ask('PUT', id, '/booking-info', null)];
      return [answers.every(({ status }) => status === 200), answers.map(({ status }) => status).join(' ')];
    });
    await service.stop();
  }
}
