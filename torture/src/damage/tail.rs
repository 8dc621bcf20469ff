//! The end of the log. If nothing valid follows damaged batches, nothing shows that they were
//! acknowledged: they look like a write that a crash has interrupted, and are dropped.

use super::sample::Sessions;
use testkit::disk::{Change, Content, Event, File, Files};

/// The last changes, and the writes to the log that hold them.
#[derive(Default)]
pub(super) struct Tail {
    /// File, offset and length of each write, from the first of these changes on.
    writes: Vec<(File, usize, usize)>,
    /// For each change: the number of writes with its own, and all sessions before it.
    changes: Vec<(usize, Sessions)>,
}

impl Tail {
    /// A change was acknowledged.
    pub(super) fn changed(&mut self, log: &[Event], before: Sessions) {
        self.written(log);
        self.changes.push((self.writes.len(), before));
    }

    /// The disk logged these events.
    pub(super) fn written(&mut self, log: &[Event]) {
        self.writes.extend(log.iter().filter_map(|event| match event {
            Event::Change(file @ File::Segment(_), Change::Write(offset, data)) => {
                Some((*file, usize::try_from(*offset).ok()?, data.len()))
            }
            _ => None,
        }));
    }

    /// The last write to the log.
    pub(super) fn last(&self) -> Option<(File, usize, usize)> {
        self.writes.last().copied()
    }

    /// The sessions without those of the last changes that may be lost: all writes to the log from
    /// theirs on are damaged. Also how many batches that takes.
    pub(super) fn may_be(
        &self,
        sound: &Files,
        damaged: &Files,
    ) -> impl Iterator<Item = (u64, &Sessions)> {
        let bytes = |files: &Files, (file, offset, len): (File, usize, usize)| {
            let bytes = files.get(&file).map_or_else(Vec::new, Content::to_vec);
            bytes.get(offset..offset + len).map(<[u8]>::to_vec)
        };
        let sound = |write: &(File, usize, usize)| bytes(sound, *write) == bytes(damaged, *write);
        let first = self.writes.iter().rposition(sound).map_or(0, |at| at + 1);
        let lost = self.changes.iter().rev().take_while(move |(writes, _)| *writes > first);
        // If a segment is missing, the one before it says so.
        let there = self.last().is_none_or(|(file, ..)| damaged.contains_key(&file));
        let mut known = None;
        let mut batches = 0;
        let lost = lost.map(move |(writes, before)| {
            // Some changes write nothing.
            batches += u64::from(known.replace(*writes) != Some(*writes));
            (batches, before)
        });
        lost.take(if there { usize::MAX } else { 0 })
    }
}
