//! A database and a log in memory, written as the writer does it.

use super::super::{Draft, Known, Snapshot, flush, meta};
use crate::memtable::{Memtable, Stage, Staged};
use crate::view::View;
use crate::wal::batch::HEADER;
use crate::wal::{Appended, Batch, InMemoryLog, LogSegment, LogStorage, Position, Segment};
use durable_session::store::Salt;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase};
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 1 << 16;

pub(super) struct World {
    pub(super) db: Database,
    pub(super) memtable: Memtable,
    pub(super) known: Known,
    /// The position of the last batch in the frozen layer.
    frozen_until: Position,
    log: InMemoryLog,
    segment: Option<(Arc<Segment>, Box<dyn LogSegment>, u64)>,
    /// All batches.
    batches: Vec<(Appended, Staged)>,
}

impl World {
    pub(super) fn new() -> Self {
        let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        meta::prepare(&db, meta::Create::IfEmpty).unwrap();
        Self {
            db,
            memtable: Memtable::new(0, 1),
            known: Known::new(1 << 20),
            frozen_until: 0,
            log: InMemoryLog::default(),
            segment: None,
            batches: Vec::new(),
        }
    }

    /// A view as a reader has it.
    pub(super) fn view(&self) -> View<'static> {
        View::of(self.memtable.snapshot(), self.db.begin_read().unwrap())
    }

    pub(super) fn snapshot(&self) -> Snapshot<'static> {
        Snapshot::new(self.db.begin_read().unwrap(), self.memtable.snapshot(), Salt::NONE)
    }

    /// Works out a batch, as the writer does, and makes it durable.
    pub(super) fn change<T>(&mut self, work: impl FnOnce(&mut Draft<'_>) -> T) -> T {
        let Self { db, memtable, known, .. } = self;
        let (layers, next) = (memtable.snapshot(), memtable.next_number());
        let mut draft = Draft::new(layers, &*db, known, Salt::NONE, next, Vec::new());
        let result = work(&mut draft);
        let staged = draft.finish();
        self.append(staged);
        result
    }

    /// Collects edits by hand, and makes them durable.
    pub(super) fn stage(&mut self, work: impl FnOnce(&mut Stage, &View<'_>)) {
        let mut stage = Stage::new(Vec::new(), self.memtable.next_number());
        let mut layers = self.memtable.snapshot();
        layers.insert(0, stage.layer());
        let view = View::over(layers, &self.db);
        work(&mut stage, &view);
        drop(view);
        self.append(stage.finish());
    }

    fn append(&mut self, staged: Staged) {
        if staged.is_empty() {
            return;
        }
        let bytes = &staged.buffer[HEADER..];
        let fits = |at: u64| at + (bytes.len() as u64) < SEGMENT_BYTES;
        if !self.segment.as_ref().is_some_and(|(_, _, at)| fits(*at)) {
            let number = u32::try_from(self.log.list().unwrap().len()).unwrap() + 1;
            let len = SEGMENT_BYTES.max(2 * bytes.len() as u64 + 100);
            let segment = self.log.create(number, len).unwrap();
            self.segment = Some((Arc::new(Segment::open(&self.log, number).unwrap()), segment, 64));
        }
        let (segment, storage, at) = self.segment.as_mut().unwrap();
        storage.write(*at, bytes).unwrap();
        let appended = Appended {
            position: self.batches.len() as u64 + 1,
            segment: Arc::clone(segment),
            payload_at: *at,
        };
        *at += bytes.len() as u64 + 40;
        self.memtable.apply(&staged, &appended).unwrap();
        self.batches.push((appended, staged));
    }

    pub(super) fn freeze(&mut self) {
        let last = self.memtable.last();
        if self.memtable.freeze().is_some() {
            self.frozen_until = last;
        }
    }

    /// Flushes up to so many slices of the frozen layer; says whether that was all of it.
    pub(super) fn flush(&mut self, slice_bytes: usize, slices: usize) -> bool {
        let Some(layer) = self.memtable.frozen() else { return false };
        let mut left = slices;
        let next_slice = || {
            let goes_on = left > 0;
            left = left.saturating_sub(1);
            goes_on.then_some(slice_bytes)
        };
        let next_number = self.memtable.next_number();
        let whole = flush(layer, &self.db, self.frozen_until, next_number, next_slice).unwrap();
        if whole {
            self.memtable.drop_frozen();
        }
        whole
    }

    /// Freezes and flushes everything.
    pub(super) fn flush_all(&mut self) {
        while self.memtable.frozen().is_some() {
            self.flush(1 << 20, usize::MAX);
        }
        self.freeze();
        self.flush(1 << 20, usize::MAX);
        assert!(self.memtable.frozen().is_none());
    }

    /// What a process finds that starts now.
    pub(super) fn crash(&mut self) {
        let identity = meta::identity(&self.db).unwrap();
        self.memtable = Memtable::new(identity.flushed, identity.next_number);
        self.known.clear();
        for (appended, staged) in &self.batches {
            if appended.position > identity.flushed {
                let batch = Batch {
                    position: appended.position,
                    segment: &appended.segment,
                    payload_at: appended.payload_at,
                    payload: &staged.buffer[HEADER..],
                    count: staged.count,
                };
                self.memtable.replay(&batch).unwrap();
            }
        }
    }
}
