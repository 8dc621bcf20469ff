//! Which seqs of a session may be missing: redb searches without checking its pages, and damage can
//! hide rows from it.

use crate::error::contradiction;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{Head, Order, StoreError};

/// Follows the rows of one walk and compares what is missing with what the head says.
pub(super) struct Seqs {
    order: Order,
    /// Rows may come from these seqs only, first to last; what the walk has passed is cut off.
    first: u64,
    last: u64,
    /// From here on every message was appended since the head row was written, and none removed.
    appended: u64,
    /// How many messages were removed in the session's life, at seqs that were not passed yet.
    removed: u64,
    /// The bodies' bytes that are still to come, if the walk is to see them all.
    bytes: Option<u64>,
}

impl Seqs {
    /// A walk over the seqs `first` to `last`. `stored`: the head row's head.
    pub(super) fn new(
        id: &SessionId,
        stored: &Head,
        current: &Head,
        order: Order,
        (first, last): (u64, u64),
    ) -> Result<Self, StoreError> {
        let &Head { next_seq, messages, bytes, .. } = current;
        let newest = next_seq.saturating_sub(1);
        let removed = newest.checked_sub(messages).ok_or_else(|| {
            contradiction("the head counts more messages than there ever were").in_session(id)
        })?;
        let all = first <= 1 && last >= newest;
        Ok(Self {
            order,
            first: first.max(1),
            last: last.min(newest),
            appended: stored.next_seq,
            removed,
            bytes: all.then_some(bytes),
        })
    }

    /// The next row of the walk.
    pub(super) fn pass(
        &mut self,
        id: &SessionId,
        seq: u64,
        body_bytes: u64,
    ) -> Result<(), StoreError> {
        if seq < self.first || seq > self.last {
            return Err(out_of_order(id, seq));
        }
        self.bytes = self.bytes.map(|bytes| bytes.wrapping_sub(body_bytes));
        match self.order {
            Order::Forward => {
                self.missing(id, self.first, seq)?;
                self.first = seq + 1;
            }
            Order::Backward => {
                self.missing(id, seq + 1, self.last + 1)?;
                self.last = seq - 1;
            }
        }
        Ok(())
    }

    /// The walk found no more rows.
    pub(super) fn end(mut self, id: &SessionId) -> Result<(), StoreError> {
        self.missing(id, self.first, self.last + 1)?;
        if self.bytes.is_some_and(|bytes| bytes != 0 || self.removed != 0) {
            return Err(
                contradiction("there are not the messages that the head counts").in_session(id)
            );
        }
        Ok(())
    }

    /// There is no row from `from` to before `until`.
    fn missing(&mut self, id: &SessionId, from: u64, until: u64) -> Result<(), StoreError> {
        let count = until.saturating_sub(from);
        let hidden = || {
            contradiction("messages are missing that were never removed")
                .in_session(id)
                .at_seq(from)
        };
        if count > 0 && until > self.appended {
            return Err(hidden());
        }
        self.removed = self.removed.checked_sub(count).ok_or_else(hidden)?;
        Ok(())
    }
}

/// Checks the last row against the head row that it was appended to.
pub(super) fn continues(
    id: &SessionId,
    stored: &Head,
    last: &rows::MessageRow<'_>,
) -> Result<(), StoreError> {
    let appended = last.seq.wrapping_sub(stored.next_seq).wrapping_add(1);
    if last.counter > stored.version.counter()
        && last.messages == stored.messages.wrapping_add(appended)
        && last.bytes >= stored.bytes
    {
        return Ok(());
    }
    Err(contradiction("the newest message does not continue what the head row tells of")
        .in_session(id)
        .at_seq(last.seq))
}

/// Whether a row is where it should be. Each row's checksum knows its place, but where damage has
/// swapped pages, whole rows come at the wrong time.
pub(crate) fn follows(order: Order, last: u64, seq: u64) -> bool {
    match order {
        Order::Forward => last < seq,
        Order::Backward => last > seq,
    }
}

pub(crate) fn out_of_order(id: &SessionId, seq: u64) -> StoreError {
    contradiction("the rows are out of order: the file is damaged").in_session(id).at_seq(seq)
}

#[cfg(test)]
mod tests {
    use super::{Head, Order, Seqs, SessionId, StoreError, continues, follows, rows};
    use durable_session::store::{IdTag, Incarnation, Version};

    fn head(next_seq: u64, messages: u64, bytes: u64) -> Head {
        let version = Version::new(Incarnation::from_bytes([7; 16]), 9);
        Head { next_seq, messages, bytes, ..Head::new(version, 0) }
    }

    /// Walks over the rows at `seqs`, ten bytes each, both ways.
    fn walk(stored: Head, current: Head, range: (u64, u64), seqs: &[u64]) -> bool {
        let id = SessionId::new("s").unwrap();
        let [forward, backward] = [Order::Forward, Order::Backward].map(|order| {
            let mut walk = Seqs::new(&id, &stored, &current, order, range)?;
            let mut seqs = seqs.to_vec();
            if order == Order::Backward {
                seqs.reverse();
            }
            seqs.into_iter().try_for_each(|seq| walk.pass(&id, seq, 10))?;
            walk.end(&id)
        });
        assert_eq!(forward.is_ok(), backward.is_ok());
        forward.is_ok()
    }

    const ALL: (u64, u64) = (0, u64::MAX);

    #[test]
    fn hidden_rows_are_missed() {
        // Five appended, nothing removed.
        let whole = head(6, 5, 50);
        assert!(walk(whole, whole, ALL, &[1, 2, 3, 4, 5]));
        assert!(walk(whole, whole, (2, 4), &[2, 3, 4]));
        for seqs in [
            &[1, 2, 3, 4][..],
            &[2, 3, 4, 5],
            &[1, 2, 4, 5],
            &[],
            &[1, 2, 3, 4, 5, 6],
            &[1, 3, 2, 4, 5],
        ] {
            assert!(!walk(whole, whole, ALL, seqs), "{seqs:?}");
        }
        for seqs in [&[2, 3][..], &[3, 4], &[2, 4], &[], &[1, 2, 3, 4], &[2, 3, 4, 5]] {
            assert!(!walk(whole, whole, (2, 4), seqs), "{seqs:?}");
        }
    }

    #[test]
    fn removed_messages_are_not_missed() {
        // Two of the first five removed, then three appended.
        let (stored, current) = (head(6, 3, 30), head(9, 6, 60));
        assert!(walk(stored, current, ALL, &[2, 3, 4, 6, 7, 8]));
        assert!(walk(stored, current, ALL, &[1, 2, 3, 6, 7, 8]));
        assert!(walk(stored, current, (4, 7), &[6, 7]));
        assert!(walk(stored, current, (4, 7), &[4, 5, 6, 7]));
        assert!(walk(stored, current, (9, 20), &[]));
        assert!(!walk(stored, current, ALL, &[1, 2, 3, 4, 6, 7, 8]), "one more than counted");
        assert!(!walk(stored, current, ALL, &[2, 3, 6, 7, 8]), "one less than counted");
        assert!(!walk(stored, current, ALL, &[1, 2, 3, 4, 7, 8]), "none removed since");
        assert!(!walk(stored, current, (4, 7), &[7]));
        assert!(!walk(stored, current, (1, 4), &[4]), "only two were removed");
    }

    #[test]
    fn bodies_of_another_length_are_missed() {
        let stored = head(3, 2, 21);
        assert!(!walk(stored, stored, ALL, &[1, 2]));
        assert!(walk(stored, stored, (1, 1), &[1]), "only the sum is known");
        let impossible = head(3, 3, 30);
        assert!(!walk(impossible, impossible, ALL, &[1, 2]));
    }

    #[test]
    fn the_newest_row_continues_the_head_row() {
        let id = SessionId::new("s").unwrap();
        let stored = head(6, 3, 30);
        let last = |seq, counter, messages, bytes| rows::MessageRow {
            seq,
            counter,
            messages,
            bytes,
            last_accessed_at: 0,
            changed_at: 0,
            tag: IdTag::NONE,
            body: b"",
        };
        assert!(continues(&id, &stored, &last(6, 10, 4, 30)).is_ok());
        assert!(continues(&id, &stored, &last(8, 12, 6, 60)).is_ok());
        for last in [last(6, 9, 4, 40), last(6, 10, 3, 40), last(6, 10, 5, 40), last(6, 10, 4, 29)]
        {
            assert!(is_told(&continues(&id, &stored, &last)), "{last:?}");
        }
    }

    #[test]
    fn a_row_that_comes_twice_is_out_of_order() {
        for (order, next) in [(Order::Forward, 4), (Order::Backward, 2)] {
            assert!(follows(order, 3, next) && !follows(order, 3, 3) && !follows(order, next, 3));
        }
    }

    fn is_told(result: &Result<(), StoreError>) -> bool {
        result.as_ref().is_err_and(crate::error::is_contradiction)
    }
}
