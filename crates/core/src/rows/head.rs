//! Head rows: the head, the labels and the app state of a session.

use super::frame::{CHECKSUM, FORMAT, address, checksum, corrupt, integer, split};
use super::message::MessageRow;
use crate::SessionId;
use crate::store::shown::Size;
use crate::store::{Head, Incarnation, Labels, StoreError, Version};
use std::fmt;

const HEADER: usize = 1 + 16 + 9 * 8 + 3 * 2;

/// The most bytes that a head row has beyond the app state.
pub const MAX_HEAD_OVERHEAD: usize =
    HEADER + crate::MAX_ID_BYTES + Labels::MAX_OWNER_BYTES + Labels::MAX_TITLE_BYTES + CHECKSUM;

/// A decoded head row. `Debug` shows the lengths of labels and app state only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeadRow<'a> {
    /// The head as of the commit that wrote this row, with the touches since.
    pub head: Head,
    /// The owner; empty if there is none.
    pub owner: &'a str,
    /// The title; empty if there is none.
    pub title: &'a str,
    /// The app state.
    pub app: &'a [u8],
}

impl HeadRow<'_> {
    /// The labels.
    pub fn labels(&self) -> Labels {
        // Most sessions have none. These need no allocation.
        if self.owner.is_empty() && self.title.is_empty() {
            return Labels::NONE;
        }
        Labels::owner(self.owner).title(self.title)
    }

    /// The current head, given the session's last message row: the row with the higher counter
    /// wins. Rows with equal counters were written by one commit and agree.
    pub fn current(&self, last: Option<&MessageRow<'_>>) -> Head {
        let mut head = self.head;
        if let Some(row) = last {
            if row.counter > head.version.counter() {
                head.version = Version::new(head.version.incarnation(), row.counter);
                head.next_seq = row.seq + 1;
                head.messages = row.messages;
                head.bytes = row.bytes;
            }
            head.last_accessed_at = head.last_accessed_at.max(row.last_accessed_at);
            head.changed_at = head.changed_at.max(row.changed_at);
        }
        head
    }
}

impl fmt::Debug for HeadRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, owner, title, app } = self;
        f.debug_struct("HeadRow")
            .field("head", head)
            .field("owner", &Size(owner.len()))
            .field("title", &Size(title.len()))
            .field("app", &Size(app.len()))
            .finish()
    }
}

/// Writes the head row of session `id`, whose number is `number`.
pub fn encode_head(
    number: u64,
    id: &SessionId,
    head: &Head,
    labels: &Labels,
    app: &[u8],
) -> Vec<u8> {
    let mut row = Vec::new();
    write_head(&mut row, number, id, head, labels, app);
    row
}

/// Like [`encode_head`], but adds the row to `out`.
pub fn write_head(
    out: &mut Vec<u8>,
    number: u64,
    id: &SessionId,
    head: &Head,
    labels: &Labels,
    app: &[u8],
) {
    let id = id.as_str().as_bytes();
    let owner = labels.get_owner().unwrap_or_default().as_bytes();
    let title = labels.get_title().unwrap_or_default().as_bytes();
    let texts = id.len() + owner.len() + title.len();
    let start = out.len();
    out.reserve(HEADER + texts + app.len() + CHECKSUM);
    out.push(FORMAT);
    out.extend_from_slice(&head.version.incarnation().to_bytes());
    for field in [
        head.version.counter(),
        head.base.counter(),
        head.closed.counter(),
        head.next_seq,
        head.messages,
        head.bytes,
        head.created_at,
        head.last_accessed_at,
        head.changed_at,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    // An id has at most 256 bytes, and a store checks labels against their limits before it writes
    // this row.
    #[allow(clippy::cast_possible_truncation)]
    for text in [id, owner, title] {
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    }
    for bytes in [id, owner, title, app] {
        out.extend_from_slice(bytes);
    }
    let sum = checksum(&out[start..], &address(number, 0));
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Reads the head row of session `id`, whose number is `number`.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`](crate::store::StoreErrorKind::Corrupt) with `id`, for a wrong
/// checksum, length or format version, and for the row of another session.
pub fn decode_head<'a>(
    number: u64,
    id: &SessionId,
    row: &'a [u8],
) -> Result<HeadRow<'a>, StoreError> {
    let corrupt = |context| corrupt(id, context);
    let (content, sum) = split(row, HEADER).map_err(corrupt)?;
    if checksum(content, &address(number, 0)) != sum {
        return Err(corrupt("the head row's checksum does not match"));
    }
    let mut rest = &content[HEADER..];
    let mut text = |at: usize| {
        let length = usize::from(u16::from_le_bytes([content[at], content[at + 1]]));
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        std::str::from_utf8(text).ok()
    };
    let texts = [text(HEADER - 6), text(HEADER - 4), text(HEADER - 2)];
    let [Some(stored_id), Some(owner), Some(title)] = texts else {
        return Err(corrupt("the texts in the head row are longer than the row or not UTF-8"));
    };
    if stored_id != id.as_str() {
        return Err(corrupt("the head row belongs to another session"));
    }
    let mut incarnation = [0; 16];
    incarnation.copy_from_slice(&content[1..17]);
    let version = |at| Version::new(Incarnation::from_bytes(incarnation), integer(content, at));
    let head = Head {
        version: version(17),
        base: version(25),
        closed: version(33),
        next_seq: integer(content, 41),
        messages: integer(content, 49),
        bytes: integer(content, 57),
        created_at: integer(content, 65),
        last_accessed_at: integer(content, 73),
        changed_at: integer(content, 81),
    };
    Ok(HeadRow { head, owner, title, app: rest })
}
