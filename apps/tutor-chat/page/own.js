// Changes of the booking that this tab made, until the event stream has brought them. An event that
// was sent before such a change shows an older booking: it must not hide the form that the change
// opened.

/** A change that was stored is on the stream at once; after so long the page loads instead. */
const OVERDUE_MS = 5_000;

export class OwnChanges {
  /** Oldest first: the booking as comparable text, and a timer once the server has stored it. */
  #changes = [];
  #overdue;

  /** `overdue()`: the stream did not bring a change that was stored. */
  constructor(overdue) {
    this.#overdue = overdue;
  }

  /**
   * A request begins that sets the booking. Of the result, call `failed()` if it fails, and
   * `stored()` if it succeeds: that is false if an event has shown the change already.
   */
  begin(booking) {
    const change = { text: comparable(booking), timer: undefined };
    this.#changes.push(change);
    return {
      stored: () => {
        if (!this.#changes.includes(change)) return false;
        change.timer = setTimeout(() => {
          this.clear();
          this.#overdue();
        }, OVERDUE_MS);
        return true;
      },
      failed: () => {
        this.#changes = this.#changes.filter(one => one !== change);
      },
    };
  }

  /** True if an event with this booking was sent before a change that the server has stored. */
  outdates(booking) {
    const text = comparable(booking);
    const at = this.#changes.findIndex(change => change.text === text);
    // The stream has an order: with this change, those before it are over.
    for (const { timer } of this.#changes.splice(0, at + 1)) clearTimeout(timer);
    return this.#changes.some(({ timer }) => timer !== undefined);
  }

  /** The stream begins anew: no event from before a stored change can come. With `all`, it has ended. */
  clear({ all = false } = {}) {
    for (const { timer } of this.#changes) clearTimeout(timer);
    this.#changes = this.#changes.filter(({ timer }) => timer === undefined && !all);
  }
}

/** The same text for equal JSON values; the order of keys does not count. */
function comparable(value) {
  const sorted = (_, one) => {
    if (typeof one !== 'object' || one === null || Array.isArray(one)) return one;
    return Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return JSON.stringify(value ?? null, sorted);
}
