//! Verification: every row of a running store is read and checked.

use crate::backup::Progress;
use crate::engine::Engine;
use crate::error::{Fault, caught, contradiction, is_contradiction};
use crate::layout::read::walk;
use crate::layout::seqs::{follows, out_of_order};
use crate::layout::{Snapshot, Tail, counts_from, newer};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Order, StoreError, StoreErrorKind};
use redb::{ReadableTable, ReadableTableMetadata};
use std::collections::HashMap;

/// How many rows between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// What [`verify`](crate::RedbStore::verify) found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Sessions, damaged ones included.
    pub sessions: u64,
    /// Messages that can be read.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// What is damaged: each names the session and the message as far as they are known. Never empty for a file that
    /// redb refused and that is only read, since it may be read as an earlier commit left it.
    pub damage: Vec<StoreError>,
}

pub(crate) fn verify(
    engine: &Engine,
    mut progress: impl FnMut(Progress),
) -> Result<Verification, StoreError> {
    let walk = || {
        let (txn, logged) = engine.begin_read(|logged| logged.tails(true))?;
        let snapshot = Snapshot::open(&txn)?;
        let total = snapshot.rows.len()? + logged.values().map(|tail| tail.rows().len() as u64).sum::<u64>();
        let mut walk = Walk {
            found: Verification::default(),
            done: 0,
            heads: 0,
            rows: 0,
            total,
            logged: &logged,
            progress: &mut progress,
        };
        walk.sessions(&snapshot)?;
        walk.strays(&snapshot)?;
        Ok(walk.found)
    };
    let verified = caught(walk).unwrap_or_else(|message| Err(Fault::Panic(message)));
    let mut verification = engine.told(verified, "verifying")?;
    if let Some(found) = verification.damage.iter().find(|error| is_contradiction(error)) {
        engine.condemn(found);
    }
    if verification.damage.is_empty() {
        // All rows may be sound although the file is not: it can be read as an earlier commit left it.
        verification.damage.extend(engine.condemned().clone());
    }
    Ok(verification)
}

struct Walk<'a, P> {
    found: Verification,
    /// Messages seen.
    done: u64,
    /// Head rows seen.
    heads: u64,
    /// Message rows seen, in the rows table.
    rows: u64,
    total: u64,
    logged: &'a HashMap<SessionId, Tail>,
    progress: &'a mut P,
}

impl<P: FnMut(Progress)> Walk<'_, P> {
    fn sessions(&mut self, snapshot: &Snapshot) -> Result<(), Fault> {
        for entry in ReadableTable::iter(&snapshot.index.ids)? {
            let (key, row) = entry?;
            self.found.sessions += 1;
            let Some(id) = std::str::from_utf8(key.value()).ok().and_then(|id| SessionId::new(id).ok())
            else {
                self.damaged(StoreError::new(StoreErrorKind::Corrupt, "a session's id cannot be read"));
                continue;
            };
            match rows::decode_number(&id, row.value()) {
                Ok(number) => self.session(snapshot, &id, number)?,
                Err(error) => self.damaged(error),
            }
        }
        Ok(())
    }

    fn session(&mut self, snapshot: &Snapshot, id: &SessionId, number: u64) -> Result<(), Fault> {
        let (mut count, mut bytes, mut last, mut place_before) = (0, 0, None, 0);
        let mut sound = true;
        let head_row = snapshot.index.heads.get(number)?;
        let next_seq = head_row.as_ref().map_or(0, |row| counts_from(number, id, row.value()));
        let tail = self.logged.get(id).and_then(|tail| tail.since(number, next_seq));
        if let Some(tail) = tail {
            // Folded a moment ago: among the rows, too, and counted as logged.
            let folded = (number, tail.first)..=(number, u64::MAX);
            for row in ReadableTable::range(&snapshot.rows, folded)? {
                row?;
                self.rows += 1;
            }
        }
        walk(&snapshot.rows, tail, number, 0..=u64::MAX, Order::Forward, |seq, row| {
            self.done += 1;
            self.rows += u64::from(tail.is_none_or(|tail| seq < tail.first));
            self.report(REPORT_EVERY);
            count += 1;
            bytes += rows::body_bytes(row.len());
            if count > 1 && !follows(Order::Forward, place_before, seq) {
                sound = false;
                self.damaged(out_of_order(id, seq));
            }
            place_before = seq;
            match rows::decode_message(id, number, seq, row) {
                Ok(message) => {
                    self.found.messages += 1;
                    self.found.bytes += message.body.len() as u64;
                    last = Some((message.counter, message.messages, message.bytes));
                }
                Err(error) => {
                    sound = false;
                    self.damaged(error);
                }
            }
            Ok(true)
        })?;
        let corrupt = |what| contradiction(what).in_session(id);
        // A load reads from the other end, where a damaged key can hide other rows.
        let mut backward = 0;
        walk(&snapshot.rows, tail, number, 0..=u64::MAX, Order::Backward, |_, _| {
            backward += 1;
            Ok(true)
        })?;
        if backward != count {
            sound = false;
            self.damaged(corrupt("there are not the same rows from both ends: the file is damaged"));
        }
        let Some(head_row) = head_row else {
            self.damaged(corrupt("the session's head row is missing"));
            return Ok(());
        };
        self.heads += 1;
        let logged = self.logged.get(id).and_then(|tail| tail.newest(number).head);
        let head_row = rows::decode_head(number, id, head_row.value());
        match head_row.and_then(|stored| newer(id, number, stored, logged)) {
            Err(error) => self.damaged(error),
            Ok(head_row) => {
                let head = head_row.head;
                let newest = match last {
                    Some((counter, messages, bytes)) if counter > head.version.counter() => (messages, bytes),
                    _ => (head.messages, head.bytes),
                };
                if sound && newest != (count, bytes) {
                    self.damaged(corrupt("the session has not the messages that its head tells of"));
                }
            }
        }
        Ok(())
    }

    /// Rows that belong to no session.
    fn strays(&mut self, snapshot: &Snapshot) -> Result<(), Fault> {
        if self.heads < snapshot.index.heads.len()? || self.rows < snapshot.rows.len()? {
            self.damaged(contradiction(
                "there are rows that belong to no session: an id or its number row is damaged or lost",
            ));
        }
        self.report(1);
        Ok(())
    }

    fn damaged(&mut self, error: StoreError) {
        self.found.damage.push(error);
    }

    fn report(&mut self, every: u64) {
        if self.done.is_multiple_of(every) {
            let now = Progress { done: self.done, total: self.total };
            let _ = caught(|| (self.progress)(now));
        }
    }
}
