//! Loads, reads, salvage and listings.

use super::{Disk, Sim, Stored, StoredRow};
use crate::fault::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Damage, Head, Incarnation, ListPage, ListQuery, ListedSession, Loaded, Order, Page, ReadQuery, Row,
    Salvaged, StoreError, TailBounds, Version,
};

type Found<'a> = (u64, &'a StoredRow);

impl Sim {
    pub(super) fn check_head(&self, id: &SessionId, stored: Option<&Stored>) -> Result<(), StoreError> {
        match stored {
            Some(stored) if stored.head_damaged => Err(self.corrupt(id, None)),
            _ => Ok(()),
        }
    }

    /// The session as loads and reads find it.
    fn find<'a>(&self, disk: &'a Disk, id: &SessionId) -> Result<Option<&'a Stored>, StoreError> {
        let stored = disk.live.get(&self.key(id));
        if self.has(Fault::TakesADamagedHeadForAbsence) && stored.is_some_and(|stored| stored.head_damaged) {
            return Ok(None);
        }
        if self.has(Fault::SpreadsDamage) && disk.live.values().any(|stored| stored.head_damaged) {
            return Err(self.corrupt(id, None));
        }
        if !self.has(Fault::ReadsUnderADamagedHead) {
            self.check_head(id, stored)?;
        }
        Ok(stored)
    }

    pub(super) fn load_at(&self, id: &SessionId, bounds: TailBounds) -> Result<Option<Loaded>, StoreError> {
        let disk = self.disk();
        let Some(stored) = self.find(&disk, id)? else {
            return Ok(self.has(Fault::TakesAbsenceForEmptiness).then(empty));
        };
        if self.has(Fault::ChecksMoreThanItReturns) {
            self.decoded(id, stored, stored.rows.iter().map(|(&seq, row)| (seq, row)).collect())?;
        }
        let mut bounds = bounds;
        if self.has(Fault::IgnoresTheBytesOfTheTail) {
            bounds.max_bytes = u64::MAX;
        }
        let newest_first = stored.rows.iter().rev().map(|(&seq, row)| (seq, row));
        let mut found = match self.fault {
            Some(Fault::LoadsTheStart) => {
                let oldest_first = stored.rows.iter().map(|(&seq, row)| (seq, row));
                let mut found = self.bounded(oldest_first, bounds.max_messages, bounds.max_bytes).0;
                found.reverse();
                found
            }
            Some(Fault::SkipsLargeMessagesOfTheTail) => {
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
        Ok(Some(Loaded {
            head: stored.head,
            app: stored.app.clone(),
            tail: self.decoded(id, stored, found)?,
        }))
    }

    pub(super) fn page_at(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        let disk = self.disk();
        let Some(mut stored) = self.find(&disk, id)? else { return Ok(None) };
        if self.has(Fault::ReadsLagBehind) {
            stored = disk.previous.get(&self.key(id)).unwrap_or(stored);
        }
        let (found, more) = self.found(stored, query);
        Ok(Some(Page { head: stored.head, rows: self.decoded(id, stored, found)?, more }))
    }

    pub(super) fn salvage_at(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let disk = self.disk();
        let key = self.key(id);
        let mut stored = disk.live.get(&key);
        if self.has(Fault::SalvagesWhatWasDeleted) {
            stored = stored.or(disk.deleted.get(&key));
        }
        let Some(stored) = stored else { return Ok(None) };
        if self.has(Fault::NeedsAHeadToSalvage) {
            self.check_head(id, Some(stored))?;
        }
        let mut damage = Vec::new();
        if stored.head_damaged {
            damage.push(Damage { seq: None, error: self.corrupt(id, None) });
        }
        let (found, more) = match self.fault {
            Some(Fault::DoesNotCountDamageInSalvage) if query.first <= query.last => {
                let sound = stored.rows.range(query.first..=query.last).filter(|(_, row)| !row.damaged);
                let sound = sound.map(|(&seq, row)| (seq, row));
                self.bounded(sound, query.max_messages, query.max_bytes)
            }
            _ => self.found(stored, query),
        };
        let mut rows = Vec::new();
        for (seq, row) in found {
            if row.damaged {
                if self.has(Fault::StopsSalvageAtDamage) {
                    break;
                }
                let last = stored.rows.last_key_value().is_some_and(|(&last, _)| last == seq);
                if !(last && self.has(Fault::ForgetsTheLastDamageInSalvage)) {
                    damage.push(Damage { seq: Some(seq), error: self.corrupt(id, Some(seq)) });
                }
            } else {
                rows.push(Row { seq, body: row.body.clone() });
            }
        }
        let app = (!stored.head_damaged && !self.has(Fault::ForgetsTheAppStateInSalvage))
            .then(|| stored.app.clone());
        Ok(Some(Salvaged { head: (!stored.head_damaged).then_some(stored.head), app, rows, damage, more }))
    }

    /// What the query asks for, damaged or not, and whether there is more.
    fn found<'a>(&self, stored: &'a Stored, query: ReadQuery) -> (Vec<Found<'a>>, bool) {
        if query.first > query.last {
            return (Vec::new(), false);
        }
        let mut last = query.last;
        match self.fault {
            Some(Fault::ExcludesTheEndOfARange) => last = last.saturating_sub(1).max(query.first),
            Some(Fault::CountsSeqsForMessages) if query.order == Order::Forward => {
                last = last.min(query.first.saturating_add(query.max_messages.max(1) as u64));
            }
            _ => {}
        }
        let range = stored.rows.range(query.first..=last).map(|(&seq, row)| (seq, row));
        let (found, mut more) = match query.order {
            Order::Backward if !self.has(Fault::ReadsForwardOnly) => {
                self.bounded(range.rev(), query.max_messages, query.max_bytes)
            }
            _ => self.bounded(range, query.max_messages, query.max_bytes),
        };
        if self.has(Fault::GuessesMoreFromTheRange) {
            more = found.last().is_some_and(|(seq, _)| *seq < query.last.min(stored.head.next_seq - 1));
        }
        (found, more)
    }

    /// The longest run from the start within both bounds, at least one row; and whether anything was left out.
    fn bounded<'a>(
        &self,
        rows: impl Iterator<Item = Found<'a>>,
        max_messages: usize,
        max_bytes: u64,
    ) -> (Vec<Found<'a>>, bool) {
        let max_messages = match self.fault {
            Some(Fault::IgnoresTheBoundOfMessages) => usize::MAX,
            Some(Fault::YieldsNothingForZero) => max_messages,
            _ => max_messages.max(1),
        };
        let max_bytes = if self.has(Fault::IgnoresTheBoundOfBytes) { u64::MAX } else { max_bytes };
        let mut taken = Vec::new();
        let mut bytes = 0_u64;
        for (seq, row) in rows {
            bytes = bytes.saturating_add(row.body.len() as u64);
            let may_be_empty = self.has(Fault::YieldsNothingWhenTheFirstIsTooLarge);
            let over_bytes = bytes > max_bytes && (may_be_empty || !taken.is_empty());
            if taken.len() >= max_messages || over_bytes {
                return (taken, !self.has(Fault::NeverHasMore));
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
        let first = match self.fault {
            Some(Fault::SkipsDamagedRows | Fault::GuessesDamagedRows) => None,
            Some(Fault::NamesTheLastDamage) => damaged.next_back(),
            Some(Fault::TrustsTheLastRow) => {
                let last = stored.rows.last_key_value().map(|(&seq, _)| seq);
                damaged.find(|seq| Some(*seq) != last)
            }
            _ => damaged.next(),
        };
        if let Some(seq) = first {
            return Err(self.corrupt(id, Some(seq)));
        }
        let skips = self.has(Fault::SkipsDamagedRows);
        let sound = found.into_iter().filter(|(_, row)| !(skips && row.damaged));
        Ok(sound
            .map(|(seq, row)| Row { seq, body: if row.damaged { Bytes::new() } else { row.body.clone() } })
            .collect())
    }

    pub(super) fn list_page(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let disk = self.disk();
        if self.has(Fault::ListsNothingAfterReopen) && disk.reopened {
            return Ok(ListPage { sessions: Vec::new(), next: None });
        }
        let cursor_is_gone = query.after.as_ref().is_some_and(|after| !disk.live.contains_key(after));
        if cursor_is_gone && self.has(Fault::LosesAListingWhoseCursorIsGone) {
            return Ok(ListPage { sessions: Vec::new(), next: None });
        }
        let mut sessions = disk.live.clone();
        if self.has(Fault::ListsWhatWasDeleted) {
            sessions.extend(disk.deleted.clone());
        }
        let mut wanted = Vec::new();
        for (id, stored) in sessions {
            let text = id.as_str();
            let fits = match self.fault {
                Some(Fault::IgnoresThePrefix) => true,
                Some(Fault::TakesAPrefixForAPattern) => like(text.as_bytes(), query.prefix.as_bytes()),
                _ => text.starts_with(&query.prefix),
            };
            let follows = query.after.as_ref().is_none_or(|after| match self.fault {
                Some(Fault::RepeatsOneBetweenPagesOfAListing) => text >= after.as_str(),
                _ => text > after.as_str(),
            });
            let idle = stored.head_damaged
                || query.idle_since.is_none_or(|time| {
                    stored.head.last_accessed_at <= time || self.has(Fault::IgnoresTheTimeOfListings)
                });
            if !(fits && follows && idle) {
                continue;
            }
            let head = match (stored.head_damaged, self.fault) {
                (true, Some(Fault::HidesDamagedSessionsFromListings)) => continue,
                (true, Some(Fault::FailsListingsOnDamage)) => return Err(self.corrupt(&id, None)),
                (true, _) => Err(self.corrupt(&id, None)),
                (false, Some(Fault::ListsOldHeads)) => Ok(stored.first_head),
                (false, _) => Ok(stored.head),
            };
            wanted.push(ListedSession { id, head });
        }
        let limit = query.limit.max(1) + usize::from(self.has(Fault::OverfillsListings));
        let more = wanted.len() > limit;
        let beyond = wanted.get(limit).map(|session| session.id.clone());
        wanted.truncate(limit);
        let last = wanted.last().map(|session| session.id.clone());
        if self.has(Fault::ReversesListings) {
            wanted.reverse();
        }
        let next = match self.fault {
            Some(Fault::EndsListingsEarly) => None,
            Some(Fault::SkipsOneBetweenPagesOfAListing) => beyond,
            _ => last,
        };
        Ok(ListPage { sessions: wanted, next: next.filter(|_| more) })
    }
}

/// What `LIKE` and `GLOB` make of a prefix that was not escaped.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ([b'_', rest @ ..], [_, text @ ..]) => like(text, rest),
        ([a, rest @ ..], [b, text @ ..]) => a == b && like(text, rest),
        ([_, ..], []) => false,
    }
}

fn empty() -> Loaded {
    let version = Version::new(Incarnation::from_bytes([0; 16]), 0);
    Loaded { head: Head::new(version, 0), app: Bytes::new(), tail: Vec::new() }
}
