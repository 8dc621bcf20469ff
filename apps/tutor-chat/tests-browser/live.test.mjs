// The order in which changes of a booking are shown, with an event stream that the test writes.
// It needs no browser: `Live` gets a stand-in for each thing of the browser that it uses.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, mock, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from './server.mjs';

class Source extends EventTarget {
  static CLOSED = 2;
  static last;

  constructor() {
    super();
    this.readyState = 1;
    Source.last = this;
  }

  close() {}

  tell(type, data) {
    this.dispatchEvent(Object.assign(new Event(type), { data: JSON.stringify(data), lastEventId: 'id' }));
  }
}

const page = { EventSource: Source, window: new EventTarget(), document: new EventTarget(), navigator: {} };
for (const [name, value] of Object.entries(page)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const file = path.join(ROOT, 'apps/tutor-chat/page/live.js');
const { Live } = await import(pathToFileURL(file).href);

const FIRST = { step: 'name-email', studentName: '' };
const SECOND = { step: 'ccsf-email', studentName: 'Sam' };

// A page that is put aside closes its stream; so the test's process can end.
after(() => document.dispatchEvent(new Event('freeze')));

const settled = () => new Promise(resolve => setImmediate(resolve));

/** A connected page: `shown` are its bookings in order, and `server` is the state of the server. */
async function connected() {
  const server = { bookingInfo: null, loads: 0 };
  const shown = [];
  const api = {
    eventsUrl: 'events',
    page: async () => ({ messages: [], next: null }),
    bookingInfo: async () => {
      server.loads += 1;
      return server.bookingInfo;
    },
  };
  const live = new Live(api, { page() {}, row() {}, status() {}, state: fields => 'bookingInfo' in fields && shown.push(fields.bookingInfo) }, new AbortController().signal);
  live.start();
  Source.last.dispatchEvent(new Event('open'));
  await settled();
  shown.length = 0;
  server.loads = 0;
  const change = async (bookingInfo, request = async () => {}) => {
    const news = await live.changeBooking(bookingInfo, async () => {
      server.bookingInfo = bookingInfo;
      await request();
    });
    live.state(news ? { bookingInfo } : {});
  };
  const event = bookingInfo => Source.last.tell('state', { state: { bookingInfo } });
  return { change, event, server, shown };
}

test('an event from before a booking began does not hide its form', async () => {
  const { change, event, shown } = await connected();
  await change(FIRST);
  event(null);
  assert.deepEqual(shown, [FIRST]);
  event({ studentName: '', step: 'name-email' });
  event(SECOND);
  event(null);
  assert.deepEqual(shown.slice(2), [SECOND, null], 'later events count');
});

test('events of earlier steps do not take the form back', async () => {
  const { change, event, shown } = await connected();
  await change(FIRST);
  await change(SECOND);
  event(null);
  event(FIRST);
  assert.deepEqual(shown, [FIRST, SECOND]);
});

test('a change that another tab made after this one is shown, also before the answer comes', async () => {
  const { change, event, shown } = await connected();
  await change(FIRST, async () => {
    event(FIRST);
    event(SECOND);
  });
  assert.deepEqual(shown, [FIRST, SECOND]);
});

test('after a request that failed, events are shown again', async () => {
  const { change, event, shown } = await connected();
  await assert.rejects(change(FIRST, () => Promise.reject(new Error('refused'))), /refused/);
  event(null);
  assert.deepEqual(shown, [null]);
});

test('a stream that does not bring the change is not waited for', async () => {
  const { change, event, server, shown } = await connected();
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    await change(FIRST);
    server.bookingInfo = SECOND;
    event(SECOND);
    assert.deepEqual(shown, [FIRST]);
    mock.timers.tick(5_000);
  } finally {
    mock.timers.reset();
  }
  await settled();
  assert.equal(server.loads, 1);
  assert.deepEqual(shown, [FIRST, SECOND]);
});

test('after a gap in the stream its events count at once', async () => {
  const { change, event, server, shown } = await connected();
  await change(FIRST);
  server.bookingInfo = SECOND;
  Source.last.tell('resync', {});
  await settled();
  assert.deepEqual(shown, [FIRST, SECOND]);
  event(null);
  assert.deepEqual(shown, [FIRST, SECOND, null]);
});

test('a gap in the stream while a change is being stored does not hide it', async () => {
  const { change, event, shown } = await connected();
  await change(FIRST, async () => Source.last.tell('resync', {}));
  await settled();
  assert.deepEqual(shown, [FIRST]);
  event(FIRST);
  event(null);
  assert.deepEqual(shown.slice(1), [FIRST, null]);
});
