// The verdicts, printed as they come and counted.

/** A check that cannot be made here; it is counted and says why. */
export class Skip extends Error {}

const LONGEST = 400;

export class Report {
  #counts = { right: 0, WRONG: 0, skipped: 0, broken: 0 };
  #entries = new Map();

  constructor(only) {
    this.only = only;
  }

  wants(entry) {
    return this.only === undefined || this.only === entry;
  }

  say(entry, name, verdict, seen) {
    if (!this.wants(entry)) return;
    this.#counts[verdict] += 1;
    const counts = this.#entries.get(entry) ?? { right: 0, WRONG: 0, skipped: 0, broken: 0 };
    counts[verdict] += 1;
    this.#entries.set(entry, counts);
    const text = String(seen).replace(/\s+/g, ' ');
    console.log(`entry ${entry} ${name}: ${verdict}: ${text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text}`);
  }

  /** Makes one check: `body` answers `[right, seen]`. One that throws shows nothing, and is neither right nor WRONG. */
  async check(entry, name, body) {
    if (!this.wants(entry)) return;
    await this.guard(entry, name, async () => {
      const [right, seen] = await body();
      this.say(entry, name, right ? 'right' : 'WRONG', seen);
    });
  }

  async guard(entry, name, body) {
    try {
      await body();
    } catch (error) {
      if (error instanceof Skip) this.say(entry, name, 'skipped', error.message);
      else this.say(entry, name, 'broken', error?.stack ?? error);
    }
  }

  /** Prints the counts; the exit code. */
  conclude() {
    console.log('');
    const order = (entry) => parseFloat(entry) + entry.charCodeAt(entry.length - 1) / 1000;
    for (const [entry, { right, WRONG, skipped, broken }] of [...this.#entries].sort(([a], [b]) => order(a) - order(b))) {
      const verdict = WRONG ? 'WRONG' : broken ? 'broken' : right ? 'right' : 'skipped';
      console.log(`entry ${entry}: ${verdict} (right=${right} wrong=${WRONG} skipped=${skipped} broken=${broken})`);
    }
    const { right, WRONG, skipped, broken } = this.#counts;
    const of = (verdict) => [...this.#entries.values()].filter(verdict).length;
    console.log(`faults entries=${this.#entries.size} entries_wrong=${of((c) => c.WRONG > 0)} right=${right} wrong=${WRONG} skipped=${skipped} broken=${broken}`);
    return WRONG > 0 || broken > 0 || right === 0 ? 1 : 0;
  }
}
