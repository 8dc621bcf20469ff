//! Open replies of producers in other processes, and since when they have shown no sign of life
//! (clause C12).

use crate::store::{Claim, OpenReply, ReplyCounts};
use crate::sync::Mutex;
use std::collections::HashMap;

/// More than so many are not remembered. The ones that were seen longest ago go first.
const REMEMBERED: usize = 4096;

/// The open replies that were seen, by claim.
#[derive(Default)]
pub(crate) struct Observed(Mutex<HashMap<Claim, Seen>>);

struct Seen {
    counts: ReplyCounts,
    /// When it was first seen with these counts, on the monotonic clock.
    since: u64,
    /// When it was last seen.
    last: u64,
}

impl Observed {
    /// For how many milliseconds the reply has had the counts that it has now, `now` on the
    /// monotonic clock.
    pub(crate) fn unchanged(&self, open: &OpenReply, now: u64) -> u64 {
        let mut seen = self.0.lock();
        if seen.len() >= REMEMBERED && !seen.contains_key(&open.claim) {
            let mut times: Vec<u64> = seen.values().map(|seen| seen.last).collect();
            let (_, &mut middle, _) = times.select_nth_unstable(REMEMBERED / 2);
            seen.retain(|_, seen| seen.last > middle);
        }
        let first = Seen { counts: open.counts, since: now, last: now };
        let entry = seen.entry(open.claim).or_insert(first);
        if entry.counts != open.counts {
            (entry.counts, entry.since) = (open.counts, now);
        }
        entry.last = now;
        now.saturating_sub(entry.since)
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Observed, OpenReply, REMEMBERED, ReplyCounts};

    fn open(n: u32, chunks: u64, beats: u64) -> OpenReply {
        let mut claim = [0; 32];
        claim[..4].copy_from_slice(&n.to_be_bytes());
        OpenReply {
            seq: 1,
            claim: Claim::from_bytes(claim),
            format: "text".into(),
            counts: ReplyCounts { chunks, beats },
            bytes: 0,
        }
    }

    #[test]
    fn every_sign_of_life_begins_the_time_anew() {
        let observed = Observed::default();
        assert_eq!(observed.unchanged(&open(1, 3, 0), 1000), 0, "seen first");
        assert_eq!(observed.unchanged(&open(1, 3, 0), 1500), 500);
        assert_eq!(observed.unchanged(&open(2, 3, 0), 1500), 0, "another one");
        assert_eq!(observed.unchanged(&open(1, 3, 1), 1600), 0, "a beat");
        assert_eq!(observed.unchanged(&open(1, 4, 1), 1700), 0, "a chunk");
        assert_eq!(observed.unchanged(&open(1, 4, 1), 1701), 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let observed = Observed::default();
        for n in 0..3 * u32::try_from(REMEMBERED).unwrap() {
            observed.unchanged(&open(n, 0, 0), u64::from(n));
        }
        assert!(observed.0.lock().len() <= REMEMBERED);
        let last = 3 * u32::try_from(REMEMBERED).unwrap() - 1;
        assert_eq!(observed.unchanged(&open(last, 0, 0), u64::from(last) + 7), 7);
    }
}
