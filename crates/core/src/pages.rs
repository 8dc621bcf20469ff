//! Reading many rows in pages that all belong to one state of the session.

use crate::SessionId;
use crate::store::{Head, Order, ReadQuery, Row, SessionStore, StoreError};

pub(crate) const PAGE_MESSAGES: usize = 1024;
pub(crate) const PAGE_BYTES: u64 = 1 << 20;

/// The rows from `first` to `last` as they were at `head`; `None` if the session was rewritten since, or is gone.
///
/// The session may have grown meanwhile: while its base stays the same, what was there is there unchanged. So this needs
/// no lock and lets no writer wait.
pub(crate) async fn rows(
    store: &dyn SessionStore,
    id: &SessionId,
    head: &Head,
    mut first: u64,
    last: u64,
) -> Result<Option<Vec<Row>>, StoreError> {
    let mut rows = Vec::new();
    while first <= last {
        let query = ReadQuery {
            first,
            last,
            order: Order::Forward,
            max_messages: PAGE_MESSAGES,
            max_bytes: PAGE_BYTES,
        };
        let Some(page) = store.read(id, query).await?.filter(|page| continues(head, &page.head)) else {
            return Ok(None);
        };
        rows.extend(page.rows);
        match rows.last() {
            Some(row) if page.more => first = row.seq + 1,
            _ => break,
        }
    }
    Ok(Some(rows))
}

/// Whether a session at `now` is the session at `then`, only longer.
pub(crate) fn continues(then: &Head, now: &Head) -> bool {
    now.base == then.base && now.next_seq >= then.next_seq
}
