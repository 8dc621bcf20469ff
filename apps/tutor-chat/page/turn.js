// One tab of this browser at a time has the turn, and tells the others about its actions.
//
// A Web Lock holds the turn: it passes on by itself when the tab closes, goes elsewhere or crashes.
// A tab that hangs, or was frozen, keeps its lock. So the others ask it for a sign of life, and
// take the turn away when there is none. A tab that lost its turn notices when it runs again.

const TICK_MS = 800;
/** So many questions in a row without an answer, and the turn is taken. */
const MOST_UNANSWERED = 2;

export class Turn {
  /** False where the browser has no locks or no channel, as in pages without https. */
  static possible = Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel);

  #name;
  #on;
  #channel = null;
  #timer;
  #sign = null;
  #waiting = null;
  #release = null;
  /** Each turn has a higher number than the one before; `#count` are the messages told in it. */
  #number = 0;
  #count = 0;
  #heard = false;
  #unanswered = 0;

  /**
   * `on`: `gained()`, `lost()`; `greeting()`: a message that tells a new tab where things stand;
   * `told(message)`: from the tab with the turn; `missed()`: something that it told has not arrived;
   * `asked(message)`: from a tab without the turn; `failed()`: this page gets no locks.
   */
  constructor(name, on) {
    this.#name = name;
    this.#on = on;
  }

  get held() {
    return this.#release !== null;
  }

  join() {
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener('message', ({ data }) => this.#hear(data));
    this.#unanswered = 0;
    this.#wait();
    this.#channel.postMessage({ hello: true });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  leave() {
    clearInterval(this.#timer);
    clearTimeout(this.#sign);
    this.#sign = null;
    this.#waiting?.abort();
    this.#waiting = null;
    this.#giveUp();
    this.#channel?.close();
    this.#channel = null;
  }

  /** Tells all other tabs; only for the tab that has the turn. */
  tell(message) {
    this.#count += 1;
    this.#post({ message });
  }

  /** Asks the tab that has the turn. */
  ask(message) {
    this.#channel?.postMessage({ request: message });
  }

  #post(fields) {
    this.#channel?.postMessage({ turn: this.#number, count: this.#count, ...fields });
  }

  #greet(fields) {
    this.#post({ message: this.#on.greeting(), greeting: true, ...fields });
  }

  /** A frozen tab may still hear and answer. Its timers do not run: they are the sign of life. */
  #answer() {
    this.#greet({ unsure: true });
    this.#sign ??= setTimeout(() => {
      this.#sign = null;
      if (this.held) this.#greet();
    });
  }

  /** Queues for the turn, or takes it away. */
  #wait({ steal = false } = {}) {
    this.#waiting?.abort();
    const waiting = new AbortController();
    this.#waiting = waiting;
    const options = steal ? { steal } : { signal: waiting.signal };
    const hold = () => new Promise(release => {
      if (waiting.signal.aborted) release();
      else this.#gain(release);
    });
    navigator.locks.request(this.#name, options, hold).catch(error => {
      // This tab has left, or has queued anew.
      if (waiting !== this.#waiting) return;
      if (error.name === 'AbortError') this.#lose();
      else this.#on.failed();
    });
  }

  #gain(release) {
    this.#release = release;
    this.#number = Math.max(Date.now(), this.#number + 1);
    this.#count = 0;
    this.#greet();
    this.#on.gained();
  }

  #giveUp() {
    const release = this.#release;
    this.#release = null;
    if (!release) return;
    this.#on.lost();
    release();
  }

  #lose() {
    this.#giveUp();
    this.#unanswered = 0;
    this.#wait();
  }

  #tick() {
    if (this.held) return;
    // Counted, not timed: after a sleep of the machine every clock says that all was silent.
    this.#unanswered = this.#heard ? 0 : this.#unanswered + 1;
    this.#heard = false;
    if (this.#unanswered === 0) return;
    if (this.#unanswered > MOST_UNANSWERED) {
      this.#unanswered = 0;
      this.#wait({ steal: true });
    } else {
      this.#channel.postMessage({ hello: true });
    }
  }

  #hear(data) {
    if (data.hello || data.request) {
      if (!this.held) return;
      if (data.hello) this.#answer();
      else this.#on.asked(data.request);
      return;
    }
    // From a tab that was frozen, lost its turn, and does not know it yet.
    if (data.turn < this.#number) return;
    if (this.held) {
      if (data.turn > this.#number) this.#lose();
      return;
    }
    const next = this.#count + (data.greeting ? 0 : 1);
    const missed = data.turn !== this.#number || data.count !== next;
    this.#number = data.turn;
    this.#count = data.count;
    this.#heard ||= !data.unsure;
    if (missed) this.#on.missed();
    this.#on.told(data.message);
  }
}
