//! Reads many rows in pages that all show one version of the session.

use crate::SessionId;
use crate::store::{Head, ReadQuery, Row, SessionStore, StoreError};

pub(crate) const PAGE_MESSAGES: usize = 1024;
pub(crate) const PAGE_BYTES: u64 = 1 << 20;

/// The rows from `first` to `last` as of `head`; `None` if the session was rewritten or deleted
/// since.
///
/// The session may grow meanwhile: while `base` and `closed` stay the same, the older messages are
/// unchanged. So the read takes no lock and delays no writer.
pub(crate) async fn rows(
    store: &dyn SessionStore,
    id: &SessionId,
    head: &Head,
    mut first: u64,
    last: u64,
) -> Result<Option<Vec<Row>>, StoreError> {
    let mut rows = Vec::new();
    while first <= last {
        let query =
            ReadQuery::forward(first, last).max_messages(PAGE_MESSAGES).max_bytes(PAGE_BYTES);
        let Some(page) = store.read(id, query).await?.filter(|page| continues(head, &page.head))
        else {
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

/// Whether the session only grew at its end between `then` and `now`.
pub(crate) fn continues(then: &Head, now: &Head) -> bool {
    now.base == then.base && now.closed == then.closed && now.next_seq >= then.next_seq
}
