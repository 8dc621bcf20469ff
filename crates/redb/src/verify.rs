//! Verification: reads and checks every row of a running store.

use crate::backup::Progress;
use crate::error::{Fault, caught, contradiction, is_contradiction};
use crate::layout::Snapshot;
use crate::layout::seqs::{follows, out_of_order};
use crate::session_check::{RowCounts, SessionCheck};
use crate::shared_store::SharedStore;
use crate::tables::{Heads, Ids, Rows};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Order, StoreError, StoreErrorKind};

/// Messages between two reports of progress.
const REPORT_EVERY: u64 = 10_000;

/// The result of [`verify`](crate::RedbStore::verify).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verification {
    /// Sessions, damaged ones included.
    pub sessions: u64,
    /// Messages that can be read.
    pub messages: u64,
    /// Bytes of the bodies of these messages.
    pub bytes: u64,
    /// The damage: one error for each place, with its session and seq as far as they are known.
    /// Never empty for a damaged file that is open for reading only, since that may show an earlier
    /// commit.
    pub damage: Vec<StoreError>,
}

pub(crate) fn verify(
    shared: &SharedStore,
    mut progress: impl FnMut(Progress),
) -> Result<Verification, StoreError> {
    let walk = || {
        let (txn, layers) = shared.begin_read()?;
        let snapshot = Snapshot::new(txn, layers, shared.salt());
        let mut walk = Walk {
            snapshot: &snapshot,
            found: Verification::default(),
            done: 0,
            counts: RowCounts::default(),
            total: snapshot.view.at_most::<Rows>()?,
            progress: &mut progress,
        };
        walk.sessions()?;
        walk.strays()?;
        Ok(walk.found)
    };
    let verified = caught(walk).unwrap_or_else(|message| Err(Fault::Panic(message)));
    let mut verification = shared.judged(verified, "verifying")?;
    if let Some(found) = verification.damage.iter().find(|error| is_contradiction(error)) {
        shared.poison(found);
    }
    if verification.damage.is_empty() {
        // The rows of an earlier commit may all be sound although the file is damaged.
        verification.damage.extend(shared.poisoned().clone());
    }
    Ok(verification)
}

struct Walk<'a, P> {
    snapshot: &'a Snapshot<'a>,
    found: Verification,
    /// Messages seen.
    done: u64,
    /// Rows seen that belong to a session.
    counts: RowCounts,
    total: u64,
    progress: &'a mut P,
}

/// The messages of a session, as its rows are.
#[derive(Default)]
struct Messages {
    count: u64,
    bytes: u64,
    /// Messages that have a tag row.
    tagged: u64,
    /// Counter, running totals and time of the last one that can be read.
    last: Option<(u64, (u64, u64), u64)>,
    /// A row cannot be read or is out of order.
    damaged: bool,
}

impl<P: FnMut(Progress)> Walk<'_, P> {
    fn sessions(&mut self) -> Result<(), Fault> {
        let mut ids = self.snapshot.view.walk::<Ids>(.., Order::Forward);
        while let Some(entry) = ids.next()? {
            let (key, row) = entry.read()?;
            self.found.sessions += 1;
            let Some(id) = std::str::from_utf8(&key).ok().and_then(|id| SessionId::new(id).ok())
            else {
                self.damaged(StoreError::new(
                    StoreErrorKind::Corrupt,
                    "a stored session id is not valid",
                ));
                continue;
            };
            match rows::decode_number(&id, &row) {
                Ok(number) => self.session(&id, number)?,
                Err(error) => self.damaged(error),
            }
        }
        Ok(())
    }

    fn session(&mut self, id: &SessionId, number: u64) -> Result<(), Fault> {
        let mut messages = self.messages(id, number)?;
        let corrupt = |what| contradiction(what).in_session(id);
        // A load reads backward, where a damaged key can hide other rows.
        let of_session = (number, 0)..=(number, u64::MAX);
        let mut backward = 0;
        let mut walk = self.snapshot.view.walk::<Rows>(of_session, Order::Backward);
        while walk.next()?.is_some() {
            backward += 1;
        }
        if backward != messages.count {
            messages.damaged = true;
            self.damaged(corrupt(
                "reading the rows from both ends finds different rows: the file is damaged",
            ));
        }
        let mut beside = self.beside(id, number);
        beside.tags(messages.tagged)?;
        let has_replies = beside.replies()?;
        let Some(head_row) = self.snapshot.view.get::<Heads>(&number)? else {
            self.beside(id, number).lists(None, has_replies)?;
            self.damaged(corrupt("the session's head row is missing"));
            return Ok(());
        };
        self.counts.heads += 1;
        match rows::decode_head(number, id, &head_row) {
            Err(error) => {
                self.beside(id, number).lists(None, has_replies)?;
                self.damaged(error);
            }
            Ok(head_row) => {
                let head = head_row.head;
                let sound = !messages.damaged;
                let changed_at =
                    messages.last.map_or(0, |(.., changed_at)| changed_at).max(head.changed_at);
                let labels = head_row.labels();
                // The newest message carries the time, and so the place in the lists.
                let owner =
                    (sound || labels.get_owner().is_none()).then_some((&labels, changed_at));
                self.beside(id, number).lists(owner, has_replies)?;
                let counted = match messages.last {
                    Some((counter, totals, _)) if counter > head.version.counter() => totals,
                    _ => (head.messages, head.bytes),
                };
                if sound && counted != (messages.count, messages.bytes) {
                    self.damaged(corrupt(
                        "the messages of the session are not those that its head counts",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Reads all messages of a session, and the tags beside them.
    fn messages(&mut self, id: &SessionId, number: u64) -> Result<Messages, Fault> {
        let mut messages = Messages::default();
        let mut place_before = 0;
        let of_session = (number, 0)..=(number, u64::MAX);
        let mut walk = self.snapshot.view.walk::<Rows>(of_session, Order::Forward);
        while let Some(entry) = walk.next()? {
            let ((_, seq), row) = entry.read()?;
            self.done += 1;
            self.counts.rows += 1;
            self.report(REPORT_EVERY);
            messages.count += 1;
            messages.bytes += rows::body_bytes(row.len());
            if messages.count > 1 && !follows(Order::Forward, place_before, seq) {
                messages.damaged = true;
                self.damaged(out_of_order(id, seq));
            }
            place_before = seq;
            let message = rows::decode_message(id, number, seq, &row);
            let tag = self.beside(id, number).tag(seq, &row, message.as_ref().ok())?;
            messages.tagged += u64::from(tag);
            match message {
                Ok(message) => {
                    self.found.messages += 1;
                    self.found.bytes += message.body.len() as u64;
                    let totals = (message.messages, message.bytes);
                    messages.last = Some((message.counter, totals, message.changed_at));
                }
                Err(error) => {
                    messages.damaged = true;
                    self.damaged(error);
                }
            }
        }
        Ok(messages)
    }

    /// Reports rows that belong to no session.
    fn strays(&mut self) -> Result<(), Fault> {
        let strays = self.counts.strays(self.snapshot, &self.found.damage)?;
        self.found.damage.extend(strays);
        self.report(1);
        Ok(())
    }

    fn beside<'w>(&'w mut self, id: &'w SessionId, number: u64) -> SessionCheck<'w> {
        SessionCheck {
            view: &self.snapshot.view,
            id,
            number,
            counts: &mut self.counts,
            damage: &mut self.found.damage,
        }
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
