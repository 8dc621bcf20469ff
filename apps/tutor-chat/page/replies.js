// The replies that are being written: the message of each as it was opened, and its text since then.
// A server shows an open message as it was opened, so the text is only here until the message comes
// whole.

export class Replies {
  #open = new Map();

  /** Takes in an event. Returns the seq of the reply that it changed, if any. */
  take(type, { seq, message, chunk }) {
    if (type === 'reply') {
      this.#open.set(seq, { seq, message, text: '' });
    } else if (type === 'chunk') {
      const reply = this.#open.get(seq);
      if (!reply) return undefined;
      if (typeof chunk === 'string') reply.text += chunk;
    } else if (type !== 'message' || !this.#open.delete(seq)) {
      return undefined;
    }
    return seq;
  }

  /** The open reply at this seq: `{seq, message, text}`. */
  at(seq) {
    return this.#open.get(seq);
  }

  /** Events were missed: the stream, or the tab that has it, names the open replies anew. */
  clear() {
    this.#open.clear();
  }

  /** All of them, for another tab. */
  list() {
    return [...this.#open.values()];
  }

  /** Those of another tab, which has the stream. */
  copy(list) {
    this.#open = new Map(list.map(reply => [reply.seq, { ...reply }]));
  }
}
