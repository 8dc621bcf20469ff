//! Loads and pages.

use super::Sim;
use super::disk::{Disk, Stored, StoredRow};
use crate::defect::Defect;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Head, IdTag, Incarnation, Labels, LoadOutcome, LoadQuery, Loaded, Order, Page, ReadQuery, Row,
    StoreError, TAGGED_MESSAGES, Tagged, TailBounds, Version,
};
use std::sync::Arc;

pub(super) type Found<'a> = (u64, &'a StoredRow);

impl Sim {
    pub(super) fn check_head(
        &self,
        id: &SessionId,
        stored: Option<&Stored>,
    ) -> Result<(), StoreError> {
        match stored {
            Some(stored) if stored.head_damaged => Err(self.corrupt(id, None)),
            _ => Ok(()),
        }
    }

    /// The session for a load or a read.
    pub(super) fn find<'a>(
        &self,
        disk: &'a Disk,
        id: &SessionId,
    ) -> Result<Option<&'a Stored>, StoreError> {
        let stored = disk.live.get(&self.key(id)).map(Arc::as_ref);
        if self.has(Defect::LoadsDamagedHeadsAsAbsent)
            && stored.is_some_and(|stored| stored.head_damaged)
        {
            return Ok(None);
        }
        if self.has(Defect::SpreadsDamage) && disk.live.values().any(|stored| stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }
        if !self.has(Defect::ReadsUnderADamagedHead) {
            self.check_head(id, stored)?;
        }
        Ok(stored)
    }

    /// The version at the last load, of a store that answers from a cache and renews it afterwards.
    fn cached(&self, disk: &mut Disk, id: &SessionId) -> Option<Version> {
        if !self.has(Defect::AnswersTheFirstQuestionFromACache) {
            return None;
        }
        let key = self.key(id);
        let current = disk.live.get(&key)?.head.version.salted(disk.salt);
        disk.cache.insert(key, current)
    }

    pub(super) fn load_at(
        &self,
        id: &SessionId,
        query: LoadQuery,
    ) -> Result<LoadOutcome, StoreError> {
        let mut disk = self.disk();
        let cached = self.cached(&mut disk, id);
        let Some(stored) = self.find(&disk, id)? else {
            return Ok(match self.defect {
                Some(Defect::LoadsAbsentSessionsAsEmpty) => LoadOutcome::Loaded(empty()),
                Some(Defect::LoadsAbsentSessionsAsUnchanged) if query.known.is_some() => {
                    LoadOutcome::Unchanged
                }
                _ => LoadOutcome::Absent,
            });
        };
        let current = stored.head.version.salted(disk.salt);
        let unchanged = query.known.is_some_and(|known| match self.defect {
            Some(Defect::ComparesIncarnationsForUnchanged) => {
                known.incarnation() == current.incarnation()
            }
            Some(Defect::AnswersTheFirstQuestionFromACache) => known == cached.unwrap_or(current),
            Some(Defect::ComparesCountersForUnchanged) => known.counter() == current.counter(),
            Some(Defect::ComparesTheBaseForUnchanged) => {
                known == stored.head.base.salted(disk.salt)
            }
            _ => known == current,
        });
        if unchanged {
            return Ok(LoadOutcome::Unchanged);
        }
        if self.has(Defect::ChecksMoreThanItReturns) {
            self.decoded(id, stored, stored.rows.iter().map(|(&seq, row)| (seq, row)).collect())?;
        }
        let found = self.tail(stored, query.tail);
        let mut tags = self.tags(stored, found.len());
        if self.has(Defect::ReversesTags) {
            tags.reverse();
        }
        let hides = self.has(Defect::LoadsWithoutLabels);
        Ok(LoadOutcome::Loaded(Loaded {
            head: stored.head.salted(disk.salt),
            labels: if hides { Labels::NONE } else { stored.labels.clone() },
            app: stored.app.clone(),
            replies: self.replies_of(id, stored, &found, true)?,
            tail: self.decoded(id, stored, found)?,
            tags,
        }))
    }

    fn tail<'a>(&self, stored: &'a Stored, mut bounds: TailBounds) -> Vec<Found<'a>> {
        if self.has(Defect::IgnoresTheBytesOfTheTail) {
            bounds.max_bytes = u64::MAX;
        }
        let newest_first = stored.rows.iter().rev().map(|(&seq, row)| (seq, row));
        let mut found = match self.defect {
            Some(Defect::LoadsTheStart) => {
                let oldest_first = stored.rows.iter().map(|(&seq, row)| (seq, row));
                let mut found = self.bounded(oldest_first, bounds.max_messages, bounds.max_bytes).0;
                found.reverse();
                found
            }
            Some(Defect::SkipsLargeMessagesOfTheTail) => {
                let mut left = bounds.max_bytes.max(1);
                let fitting = newest_first.filter(|(_, row)| {
                    let fits = row.body.len() as u64 <= left;
                    left -= if fits { row.body.len() as u64 } else { 0 };
                    fits
                });
                self.bounded(fitting, bounds.max_messages, u64::MAX).0
            }
            _ => self.bounded(newest_first, bounds.max_messages, bounds.max_bytes).0,
        };
        found.reverse();
        found
    }

    /// The tags of the last messages, of which `loaded` are in the tail.
    fn tags(&self, stored: &Stored, loaded: usize) -> Vec<Tagged> {
        let most = match self.defect {
            Some(Defect::TagsTheTailOnly) => loaded.min(TAGGED_MESSAGES),
            Some(Defect::TagsOneTooFew) => TAGGED_MESSAGES - 1,
            Some(Defect::TagsOneTooMany) => TAGGED_MESSAGES + 1,
            _ => TAGGED_MESSAGES,
        };
        let first = match self.defect {
            Some(Defect::CountsSeqsForTags) => stored.head.next_seq.saturating_sub(most as u64),
            _ => 0,
        };
        let last = stored.rows.range(first..).rev().take(most);
        let shown = last.filter(|(_, row)| match self.defect {
            Some(Defect::TagsMessagesWithAnIdOnly) => row.tag != IdTag::NONE,
            Some(Defect::DoesNotTagLargeMessages) => row.body.len() <= 4096,
            _ => true,
        });
        let mut tags: Vec<_> = shown.map(|(&seq, row)| Tagged { seq, tag: row.tag }).collect();
        tags.reverse();
        tags
    }

    pub(super) fn page_at(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Page>, StoreError> {
        let disk = self.disk();
        let Some(mut stored) = self.find(&disk, id)? else { return Ok(None) };
        let previous = disk.previous.get(&self.key(id)).map_or(stored, Arc::as_ref);
        if self.has(Defect::ReadsLagBehind) {
            stored = previous;
        }
        let (found, more) = self.found(stored, query);
        let of_replies = if self.has(Defect::ReadsThePreviousReplies) { previous } else { stored };
        Ok(Some(Page {
            head: stored.head.salted(disk.salt),
            replies: self.replies_of(id, of_replies, &found, false)?,
            rows: self.decoded(id, stored, found)?,
            more,
        }))
    }

    /// The rows that the query asks for, damaged or not, and whether there are more.
    pub(super) fn found<'a>(&self, stored: &'a Stored, query: ReadQuery) -> (Vec<Found<'a>>, bool) {
        if query.first > query.last {
            return (Vec::new(), false);
        }
        let mut last = query.last;
        match self.defect {
            Some(Defect::ExcludesTheEndOfARange) => last = last.saturating_sub(1).max(query.first),
            Some(Defect::CountsSeqsForMessages) if query.order == Order::Forward => {
                last = last.min(query.first.saturating_add(query.max_messages.max(1) as u64));
            }
            _ => {}
        }
        let range = stored.rows.range(query.first..=last).map(|(&seq, row)| (seq, row));
        let (found, mut more) = match query.order {
            Order::Backward if !self.has(Defect::ReadsForwardOnly) => {
                self.bounded(range.rev(), query.max_messages, query.max_bytes)
            }
            _ => self.bounded(range, query.max_messages, query.max_bytes),
        };
        if self.has(Defect::GuessesMoreFromTheRange) {
            more = found
                .last()
                .is_some_and(|(seq, _)| *seq < query.last.min(stored.head.next_seq - 1));
        }
        (found, more)
    }

    /// The longest run from the start within both bounds, at least one row, and whether there are
    /// more rows.
    pub(super) fn bounded<'a>(
        &self,
        rows: impl Iterator<Item = Found<'a>>,
        max_messages: usize,
        max_bytes: u64,
    ) -> (Vec<Found<'a>>, bool) {
        let max_messages = match self.defect {
            Some(Defect::IgnoresTheBoundOfMessages) => usize::MAX,
            Some(Defect::YieldsNothingForZero) => max_messages,
            _ => max_messages.max(1),
        };
        let max_bytes = if self.has(Defect::IgnoresTheBoundOfBytes) { u64::MAX } else { max_bytes };
        let mut taken = Vec::new();
        let mut bytes = 0_u64;
        for (seq, row) in rows {
            bytes = bytes.saturating_add(row.body.len() as u64);
            let may_be_empty = self.has(Defect::YieldsNothingWhenTheFirstIsTooLarge);
            let over_bytes = bytes > max_bytes && (may_be_empty || !taken.is_empty());
            if taken.len() >= max_messages || over_bytes {
                return (taken, !self.has(Defect::NeverHasMore));
            }
            taken.push((seq, row));
        }
        (taken, false)
    }

    fn decoded(
        &self,
        id: &SessionId,
        stored: &Stored,
        found: Vec<Found<'_>>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut damaged = found.iter().filter(|(_, row)| row.damaged).map(|(seq, _)| *seq);
        let first = match self.defect {
            Some(Defect::SkipsDamagedRows | Defect::GuessesDamagedRows) => None,
            Some(Defect::NamesTheLastDamage) => damaged.next_back(),
            Some(Defect::TrustsTheLastRow) => {
                let last = stored.rows.last_key_value().map(|(&seq, _)| seq);
                damaged.find(|seq| Some(*seq) != last)
            }
            _ => damaged.next(),
        };
        if let Some(seq) = first {
            return Err(self.corrupt(id, Some(seq)));
        }
        let skips = self.has(Defect::SkipsDamagedRows);
        let sound = found.into_iter().filter(|(_, row)| !(skips && row.damaged));
        Ok(sound
            .map(|(seq, row)| Row {
                seq,
                body: if row.damaged { Bytes::new() } else { row.body.clone() },
            })
            .collect())
    }
}

fn empty() -> Loaded {
    let version = Version::new(Incarnation::from_bytes([0; 16]), 0);
    Loaded {
        head: Head::new(version, 0),
        labels: Labels::NONE,
        app: Bytes::new(),
        tail: Vec::new(),
        tags: Vec::new(),
        replies: Vec::new(),
    }
}
