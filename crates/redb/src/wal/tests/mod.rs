//! Tests of the log over storage that loses power.
#![allow(
    clippy::cast_possible_truncation,
    clippy::struct_excessive_bools,
    reason = "small numbers, and a disk that fails in many ways"
)]

mod crashes;
mod damage;
mod disk;
mod files;
mod read_only;
mod reuse;

use super::batch::HEADER;
use super::{
    AppendError, Appended, Log, LogConfig, LogError, LogId, LogStorage, Position, Recovered,
    Segment, Torn, begin, recover,
};
use durable_session::env::{Random, RandomError};
use std::sync::{Arc, Mutex};

const ID: LogId = LogId([7; 16]);

/// Small segments, so that a short test fills many of them.
const CONFIG: LogConfig = LogConfig { segment_bytes: 1536, limit_bytes: 1 << 20 };

/// Random numbers that are the same in each run.
#[derive(Debug)]
struct Seeded(Mutex<u64>);

impl Seeded {
    fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }

    /// splitmix64
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl Random for Seeded {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buf.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn begin_on(storage: &(impl LogStorage + Clone + 'static), random: &Arc<Seeded>) -> Log {
    begin(Arc::new(storage.clone()), ID, 1, CONFIG, Arc::clone(random) as _).unwrap()
}

fn append(log: &mut Log, payload: &[u8]) -> Result<Appended, AppendError> {
    let mut buffer = vec![0; HEADER];
    buffer.extend_from_slice(payload);
    let appended = log.append(&mut buffer, 1);
    assert_eq!(&buffer[HEADER..], payload, "the log changed the payload");
    appended
}

/// The batches of a log that was opened, and the rest.
struct Opened {
    log: Log,
    torn: Option<Torn>,
    batches: Vec<(Position, Vec<u8>)>,
}

fn open_after(
    storage: &(impl LogStorage + Clone + 'static),
    flushed: Position,
    random: &Arc<Seeded>,
) -> Result<Opened, LogError> {
    let mut batches = Vec::new();
    let storage = Arc::new(storage.clone());
    let Recovered { log, torn } =
        recover(storage, ID, flushed, CONFIG, Arc::clone(random) as _, |batch| {
            let len = batch.payload.len();
            let read = batch.segment.read(batch.payload_at, len).unwrap();
            assert_eq!(read, batch.payload, "the batch is not where recovery says");
            batches.push((batch.position, batch.payload.to_vec()));
            Ok(())
        })?;
    Ok(Opened { log, torn, batches })
}

fn read_payload(segment: &Segment, at: u64, len: usize) -> Vec<u8> {
    segment.read(at, len).unwrap()
}
