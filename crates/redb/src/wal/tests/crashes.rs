//! Random histories with crashes at any change of the disk, also inside recovery.

use super::super::storage::LogStorage;
use super::disk::Disk;
use super::{AppendError, CONFIG, ID, Log, LogError, Opened, Position, Seeded, Segment};
use super::{append, begin, begin_on, open_after, read_payload, recover};
use std::sync::Arc;

/// A payload that a reader still wants to read.
struct Reader {
    segment: Arc<Segment>,
    at: u64,
    payload: Vec<u8>,
}

struct Case {
    random: Arc<Seeded>,
    disk: Disk,
    /// Acknowledged, or shown by a recovery; the first has position 1.
    acknowledged: Vec<Vec<u8>>,
    /// The last batch, when its append failed.
    uncertain: Option<Vec<u8>>,
    flushed: Position,
    readers: Vec<Reader>,
}

impl Case {
    fn payload(&self) -> Vec<u8> {
        let len = match self.random.below(10) {
            0 => self.random.below(4000),
            1 => 0,
            _ => self.random.below(300),
        };
        (0..len).map(|_| self.random.next() as u8).collect()
    }

    /// Uses the log until the disk fails or the steps are done.
    fn run(&mut self, log: &mut Log) {
        for _ in 0..self.random.below(60) {
            let failed = match self.random.below(12) {
                0 => log.seal().is_err(),
                1 | 2 => {
                    let waiting = self.acknowledged.len() as u64 - self.flushed;
                    self.flushed += self.random.below(waiting + 1);
                    log.release(self.flushed);
                    false
                }
                3 if self.random.one_in(3) => {
                    self.flushed = self.acknowledged.len() as u64;
                    // A segment that cannot be removed does not end the log.
                    let _ = log.scrub(self.flushed);
                    false
                }
                4 => {
                    self.readers.retain(|_| self.random.one_in(2));
                    self.disk.set_full(self.random.one_in(3));
                    false
                }
                _ => !self.append(log),
            };
            self.check_readers();
            if failed {
                return;
            }
        }
    }

    fn append(&mut self, log: &mut Log) -> bool {
        let payload = self.payload();
        let next = log.next();
        assert_eq!(next, self.acknowledged.len() as u64 + 1);
        match append(log, &payload) {
            Ok(appended) => {
                assert_eq!(appended.position, next);
                let (segment, at) = (appended.segment, appended.payload_at);
                if self.random.one_in(3) {
                    self.readers.push(Reader { segment, at, payload: payload.clone() });
                }
                self.acknowledged.push(payload);
                true
            }
            Err(AppendError::Refused(_)) => {
                assert_eq!(log.next(), next);
                true
            }
            Err(AppendError::Failed(_)) => {
                assert!(matches!(append(log, b"later"), Err(AppendError::Failed(_))));
                assert!(matches!(log.seal(), Ok(()) | Err(AppendError::Failed(_))));
                self.uncertain = Some(payload);
                false
            }
        }
    }

    fn check_readers(&self) {
        for Reader { segment, at, payload } in &self.readers {
            let read = read_payload(segment, *at, payload.len());
            assert_eq!(read, *payload, "a segment was reused under a reader");
        }
    }

    /// The process ends, with the power or without, or opens its log again.
    fn crash(&mut self) {
        match self.random.below(3) {
            0 => {
                self.disk.kill();
                for number in self.disk.list().unwrap() {
                    self.disk.forget_cached(number).unwrap();
                }
                return;
            }
            1 => self.disk.kill(),
            _ => self.disk.lose_power(&self.random),
        }
        self.readers.clear();
    }

    /// Opens the log, with crashes in between.
    fn recover(&mut self) -> Log {
        self.disk.set_full(false);
        for _ in 0..self.random.below(4) {
            match self.random.below(4) {
                0 => self.disk.lose_next_sync(),
                1 => self.disk.fail_once_after(self.random.below(12)),
                _ => self.disk.fail_after(self.random.below(12)),
            }
            match open_after(&self.disk, self.flushed, &self.random) {
                Ok(opened) => {
                    let log = self.check(opened);
                    if self.random.one_in(2) {
                        self.disk.kill();
                        return log;
                    }
                }
                Err(LogError::Io { .. }) => self.check_readers(),
                Err(error) => panic!("{error}"),
            }
            self.crash();
        }
        let opened = open_after(&self.disk, self.flushed, &self.random);
        self.check(opened.unwrap_or_else(|error| panic!("{error}")))
    }

    fn check(&mut self, Opened { log, batches, .. }: Opened) -> Log {
        let shown = log.next() - 1;
        if shown > self.acknowledged.len() as u64 {
            // Now it was shown, so it must stay.
            self.acknowledged.extend(self.uncertain.take());
        }
        self.uncertain = None;
        assert_eq!(shown, self.acknowledged.len() as u64, "another number of batches");
        let expected =
            self.acknowledged.iter().cloned().zip(1..).map(|(payload, at)| (at, payload));
        let expected: Vec<_> = expected.filter(|(at, _)| *at > self.flushed).collect();
        assert!(batches == expected, "the batches differ");
        log
    }
}

/// A crash while a log is begun leaves nothing that prevents another begin.
#[test]
fn a_log_that_was_not_begun_whole_is_begun_again() {
    for seed in 0..100 {
        let random = Seeded::new(seed);
        let disk = Disk::default();
        disk.fail_after(random.below(4));
        let failed = begin(Arc::new(disk.clone()), ID, 1, CONFIG, Arc::clone(&random) as _);
        drop(failed);
        disk.crash(random.one_in(2), &random);
        let mut log = begin_on(&disk, &random);
        append(&mut log, b"first").unwrap();
        drop(log);
        disk.lose_power(&random);
        let opened = open_after(&disk, 0, &random).unwrap();
        assert_eq!(opened.batches, [(1, b"first".to_vec())]);
    }
}

/// Two crashes in a row inside recovery, at every pair of changes.
#[test]
fn recovery_can_be_interrupted_again_and_again() {
    for seed in 0..20 {
        for (first, second) in (0..15).flat_map(|first| (0..15).map(move |second| (first, second)))
        {
            let random = Seeded::new(seed);
            let disk = Disk::default();
            let mut log = begin_on(&disk, &random);
            let payloads: Vec<_> = (1..=4 + seed as u8 % 8).map(|i| vec![i; 250]).collect();
            for payload in &payloads {
                append(&mut log, payload).unwrap();
            }
            for changes in [first, second] {
                disk.fail_after(changes);
                drop(open_after(&disk, 0, &random));
                disk.crash(random.one_in(3), &random);
            }
            let opened = open_after(&disk, 0, &random);
            let batches = opened.unwrap_or_else(|e| panic!("{seed} {first} {second}: {e}")).batches;
            let batches: Vec<_> = batches.into_iter().map(|(_, payload)| payload).collect();
            assert!(batches == payloads, "{seed} {first} {second}");
        }
    }
}

/// A process ended between the write and the sync of a batch: the batch is durable before anybody
/// sees it.
#[test]
fn a_batch_that_recovery_shows_is_durable() {
    for batches in 1..12u64 {
        let random = Seeded::new(batches);
        let disk = Disk::default();
        let mut log = begin_on(&disk, &random);
        for i in 1..batches {
            append(&mut log, &[i as u8; 300]).unwrap();
        }
        let durable = |disk: &Disk, random: Arc<Seeded>| {
            let mut shown = 0;
            recover(Arc::new(disk.clone()), ID, 0, CONFIG, random, |batch| {
                shown += 1;
                assert!(disk.is_durable(batch.segment.number(), batch.payload_at, batch.payload));
                Ok(())
            })
            .unwrap();
            shown
        };
        disk.lose_next_sync();
        let failed = append(&mut log, &[batches as u8; 300]);
        match failed {
            // The batch is in the cache and will not reach the disk by itself.
            Err(AppendError::Failed(_)) => assert_eq!(durable(&disk, random), batches),
            // It was the sync of a new segment's header that failed.
            _ => assert_eq!(durable(&disk, random), batches - 1),
        }
    }
}

/// Every acknowledged batch is there, in order, and at most the unacknowledged last one with it;
/// the same after crashes inside recovery.
#[test]
fn no_crash_loses_or_invents_a_batch() {
    for seed in 0..1000 {
        let random = Seeded::new(seed);
        let disk = Disk::default();
        let mut log = begin_on(&disk, &random);
        let mut case = Case {
            random,
            disk,
            acknowledged: vec![],
            uncertain: None,
            flushed: 0,
            readers: vec![],
        };
        for _ in 0..5 {
            match case.random.below(6) {
                0 => {}
                1 => case.disk.lose_next_sync(),
                2 | 3 => case.disk.fail_once_after(case.random.below(80)),
                _ => case.disk.fail_after(case.random.below(80)),
            }
            case.run(&mut log);
            drop(log);
            case.crash();
            log = case.recover();
        }
    }
}
