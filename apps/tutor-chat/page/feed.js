// The events of a session, for all tabs of this browser over one event stream: a browser has six
// connections to a server, and a stream occupies one. One tab has the stream and passes its events
// on. In browsers without locks or channels each tab has a stream.

import { Replies } from './replies.js';
import { Stream } from './stream.js';
import { Turn } from './turn.js';

export class Feed {
  #on;
  #stream;
  #turn = null;
  #state = 'connecting';
  #signal;
  /** Of the stream of this tab, for tabs that come later or missed something. */
  #replies = new Replies();

  /**
   * `on`: `event(type, data)`, `gap()`, `state(name)`, as of a `Stream`; `replies(list)`: all that are
   * open; the same in every tab. When `signal` aborts, this tab lets go of the stream.
   */
  constructor(url, on, signal) {
    this.#on = on;
    this.#signal = signal;
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
      greeting: () => ({ kind: 'state', state: this.#stream.state, replies: this.#replies.list() }),
      told: message => this.#take(message),
      missed: () => {
        this.#on.gap();
        this.#turn.ask('replies');
      },
      asked: message => {
        if (message === 'replies') this.#turn.tell({ kind: 'replies', replies: this.#replies.list() });
        else this.#distrust();
      },
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
    const options = { signal: this.#signal };
    document.addEventListener('freeze', aside, options);
    document.addEventListener('resume', back, options);
    window.addEventListener('pagehide', aside, options);
    window.addEventListener('pageshow', event => {
      if (event.persisted) back();
    }, options);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.#stream.check();
    }, options);
    // Another network: connections of the old one are dead, often without an error.
    window.addEventListener('online', () => {
      if (this.#turn?.held ?? true) this.#stream.reopen();
    }, options);
    this.#signal.addEventListener('abort', aside);
  }

  /** The stream did not bring an event that it should have brought. */
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
    if (message.kind === 'gap' || message.type === 'resync') this.#replies.clear();
    else if (message.kind === 'event') this.#replies.take(message.type, message.data);
    this.#turn?.tell(message);
    this.#take(message);
  }

  #take(message) {
    if (message.kind === 'event') this.#on.event(message.type, message.data);
    else if (message.kind === 'gap') this.#on.gap();
    else if (message.kind === 'state') this.#set(message.state);
    if (message.replies) this.#on.replies(message.replies);
  }

  #set(state) {
    if (this.#state === state) return;
    this.#state = state;
    if (!this.#signal.aborted) this.#on.state(state);
  }
}
