// What happens in a session, for every tab of this browser over one event stream: a browser has six
// connections to a server, and a stream keeps one of them for ever. One tab has the stream and passes
// on what it brings. Where tabs cannot agree on one, each has its own.

import { Stream } from './stream.js';
import { Turn } from './turn.js';

export class Feed {
  #on;
  #stream;
  #turn = null;
  #state = 'connecting';

  /** `on`: `event(type, data)`, `gap()`, `state(name)`, as of a `Stream`; the same in every tab. */
  constructor(url, on) {
    this.#on = on;
    this.#stream = new Stream(url, {
      event: (type, data) => this.#tell({ kind: 'event', type, data }),
      gap: () => this.#tell({ kind: 'gap' }),
      state: state => this.#tell({ kind: 'state', state }),
    });
    if (!Turn.possible) return;
    this.#turn = new Turn(`chat-events:1:${url}`, {
      gained: () => {
        this.#set('connecting');
        this.#stream.open();
      },
      lost: () => {
        this.#stream.close();
        this.#set('connecting');
      },
      greeting: () => ({ kind: 'state', state: this.#stream.state }),
      told: message => this.#take(message),
      missed: () => this.#on.gap(),
      asked: () => this.#distrust(),
      failed: () => {
        this.#turn.leave();
        this.#turn = null;
        this.#stream.open();
      },
    });
  }

  /** As of a `Stream`. */
  get state() {
    return this.#state;
  }

  start() {
    this.#join();
    // A tab that is put aside lets go of the stream; when it comes back, much may have happened.
    const aside = () => this.#leave();
    const back = () => {
      this.#leave();
      this.#on.gap();
      this.#join();
    };
    document.addEventListener('freeze', aside);
    document.addEventListener('resume', back);
    window.addEventListener('pagehide', aside);
    window.addEventListener('pageshow', event => {
      if (event.persisted) back();
    });
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#stream.check();
    });
    // Another network: what went over the old one is gone, though nobody may have said so.
    window.addEventListener('online', () => {
      if (this.#turn?.held ?? true) this.#stream.reopen();
    });
  }

  /** The stream did not bring what it should have brought. */
  distrust() {
    if (this.#turn && !this.#turn.held) this.#turn.ask('distrust');
    else this.#distrust();
  }

  #distrust() {
    if (this.#stream.state === 'live') this.#stream.distrust();
  }

  #join() {
    if (this.#turn) this.#turn.join();
    else this.#stream.open();
  }

  #leave() {
    if (this.#turn) this.#turn.leave();
    else this.#stream.close();
    this.#set('connecting');
  }

  #tell(message) {
    this.#turn?.tell(message);
    this.#take(message);
  }

  #take(message) {
    if (message.kind === 'event') this.#on.event(message.type, message.data);
    else if (message.kind === 'gap') this.#on.gap();
    else this.#set(message.state);
  }

  #set(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.#on.state(state);
  }
}
