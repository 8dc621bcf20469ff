//! The conversations of a person: the listing of one owner's sessions (clause C13).

use super::machine::{StoredMessage, message};
use super::registry::Registry;
use crate::SessionId;
use crate::error::Error;
use crate::store::{
    Head, Labels, ListOrder, ListPlace, ListQuery, ListedSession, ReadQuery, StoreError,
    StoreErrorKind,
};
use crate::sync::Arc;
use sha2::{Digest, Sha256};
use std::fmt;

/// The sessions of a page, unless the caller asks for another number.
const LIMIT: usize = 30;

/// The most sessions of a page.
const MAX_LIMIT: usize = 1000;

/// A page with last messages ends after so many bytes of them.
const MAX_BYTES: u64 = 4 << 20;

/// The bytes of a cursor's checksum.
const SUM: usize = 8;

/// The sessions of one owner, to be listed page by page (clause C13). Made by
/// [`ChatSessions::of`](crate::ChatSessions::of).
///
/// A page shows the stored state at the moment at which the page is read. The order is newest
/// first, by the time of the last change of messages or app state, unless
/// [`by_id`](Self::by_id) says otherwise.
#[derive(Clone)]
#[must_use]
pub struct OwnerSessions {
    registry: Arc<Registry>,
    query: ListQuery,
    owner: std::sync::Arc<str>,
    last: bool,
}

/// A page of the sessions of an owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions, in the order of the listing.
    pub sessions: Vec<SessionSummary>,
    /// The cursor of the next page; `None` at the end. A short or empty page may have one, too.
    pub next: Option<ListCursor>,
}

/// One session of a page. `Debug` shows no title and no message.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionSummary {
    /// The session's id.
    pub id: SessionId,
    /// The owner and the title; none if the head cannot be read.
    pub labels: Labels,
    /// The counts, times and versions; `None` if they cannot be read.
    pub head: Option<Head>,
    /// The last message, if the query asked for it and the session has a message that can be read.
    pub last: Option<StoredMessage>,
    /// The damage that hides the head or the last message.
    pub damage: Option<StoreError>,
}

impl fmt::Debug for SessionSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, labels, head, last, damage } = self;
        f.debug_struct("SessionSummary")
            .field("id", id)
            .field("labels", labels)
            .field("head", head)
            .field("last", &last.as_ref().map(|last| last.seq))
            .field("damage", damage)
            .finish()
    }
}

/// A place in a listing: an opaque text, bound to the owner and the order of its listing.
///
/// It contains the id of a session. `Debug` shows its length only.
///
/// ```
/// use durable_session::ListCursor;
///
/// let cursor = ListCursor::from("0101");
/// assert_eq!(cursor.as_str(), "0101");
/// assert_eq!(format!("{cursor:?}"), "ListCursor(4 bytes)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ListCursor(Box<str>);

impl ListCursor {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hexadecimal digits of: the order, the time (8 bytes, big-endian), the id, and a checksum
    /// over these and the owner.
    fn new(owner: &str, order: ListOrder, place: &ListPlace) -> Self {
        let mut bytes = vec![number(order)];
        bytes.extend(place.changed_at.to_be_bytes());
        bytes.extend(place.id.as_str().as_bytes());
        bytes.extend(checksum(owner, &bytes));
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        Self(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// The place, if the cursor belongs to this listing.
    fn place(&self, owner: &str, order: ListOrder) -> Option<ListPlace> {
        let digits = self.0.as_bytes();
        let lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if !digits.len().is_multiple_of(2) || !digits.iter().all(lower) {
            return None;
        }
        let byte = |pair: &[u8]| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        let bytes = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>()?;
        let (rest, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if checksum(owner, rest) != sum {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (time, id) = rest.split_first_chunk::<8>()?;
        let id = std::str::from_utf8(id).ok()?.parse().ok()?;
        (*first == number(order)).then(|| ListPlace { changed_at: u64::from_be_bytes(*time), id })
    }
}

impl From<&str> for ListCursor {
    /// Any text: [`OwnerSessions::page`] refuses one that is no cursor of its listing.
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListCursor({} bytes)", self.0.len())
    }
}

fn number(order: ListOrder) -> u8 {
    match order {
        ListOrder::ById => 1,
        ListOrder::NewestFirst => 2,
    }
}

fn checksum(owner: &str, place: &[u8]) -> [u8; SUM] {
    let mut hash = Sha256::new();
    hash.update(b"durable-session list cursor 1");
    hash.update((owner.len() as u64).to_be_bytes());
    hash.update(owner);
    hash.update(place);
    let mut sum = [0; SUM];
    sum.copy_from_slice(&hash.finalize()[..SUM]);
    sum
}

impl OwnerSessions {
    pub(super) fn new(registry: Arc<Registry>, owner: &str) -> Self {
        let owner: std::sync::Arc<str> = owner.into();
        Self { registry, query: ListQuery::owner(owner.clone(), LIMIT), owner, last: false }
    }

    /// Lists the session that changed last first. This is the default.
    pub fn newest_first(self) -> Self {
        let query = ListQuery { order: ListOrder::NewestFirst, ..self.query };
        Self { query, ..self }
    }

    /// Lists the sessions by the bytes of their ids.
    pub fn by_id(self) -> Self {
        Self { query: self.query.by_id(), ..self }
    }

    /// At most so many sessions to a page: from 1 to 1,000. Default: 30.
    pub fn limit(self, sessions: usize) -> Self {
        let query = ListQuery { limit: sessions.clamp(1, MAX_LIMIT), ..self.query };
        Self { query, ..self }
    }

    /// Only sessions that changed at this time or later, Unix milliseconds. After a walk, the
    /// sessions that changed since it began are those that it may have missed (S11).
    pub fn changed_since(self, time: u64) -> Self {
        Self { query: self.query.changed_since(time), ..self }
    }

    /// Reads the last message of each session, too: one more read of the store for each. A page
    /// with 4 MiB of them ends there.
    pub fn with_last_message(self) -> Self {
        Self { last: true, ..self }
    }

    /// Reads a page: the first one, or the one after `cursor`, which is
    /// [`SessionPage::next`] of the page before.
    ///
    /// ```
    /// use durable_session::ChatSessions;
    /// use durable_session::store::Labels;
    /// use durable_session_memory::MemoryStore;
    ///
    /// # futures_executor::block_on(async {
    /// let store = MemoryStore::new();
    /// let sessions = ChatSessions::<durable_session::JsonObject>::builder(store.clone())
    ///     .listing(store)
    ///     .build();
    /// let labels = Labels::owner("u-42").title("Lifetimes");
    /// sessions.create("s-1".parse()?, labels).await?;
    ///
    /// let listing = sessions.of("u-42").newest_first().limit(30).with_last_message();
    /// let page = listing.page(None).await?;
    /// assert_eq!(page.sessions[0].labels.get_title(), Some("Lifetimes"));
    /// assert!(page.next.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] if the cursor was altered, or belongs to the listing of another
    /// owner or in another order; [`Error::NoListing`] if the builder was given no
    /// [listing](crate::ChatSessionsBuilder::listing); [`Error::Store`].
    pub async fn page(&self, cursor: Option<&ListCursor>) -> Result<SessionPage, Error> {
        let list = self.registry.list()?;
        let mut query = self.query.clone();
        if let Some(cursor) = cursor {
            let place = cursor.place(&self.owner, query.order).ok_or(Error::InvalidCursor)?;
            query = query.after(place);
        }
        let page = list.list(&query).await?;
        let cursor = |place: &ListPlace| ListCursor::new(&self.owner, query.order, place);
        let mut next = page.next.as_ref().map(cursor);
        let mut sessions = Vec::with_capacity(page.sessions.len());
        let (mut bytes, listed) = (0, page.sessions.len());
        for (at, session) in page.sessions.into_iter().enumerate() {
            let place = session.head.as_ref().ok().map(|head| head.changed_at);
            let place = place.map(|changed_at| ListPlace { changed_at, id: session.id.clone() });
            let Some(summary) = self.summary(session).await? else { continue };
            bytes += summary.last.as_ref().map_or(0, |last| last.message.bytes() as u64);
            sessions.push(summary);
            if let Some(place) = place
                && bytes >= MAX_BYTES
                && at + 1 < listed
            {
                next = Some(cursor(&place));
                break;
            }
        }
        Ok(SessionPage { sessions, next })
    }

    /// A listed session with its last message; `None` if it was deleted since it was listed.
    async fn summary(&self, listed: ListedSession) -> Result<Option<SessionSummary>, Error> {
        let ListedSession { id, head, labels } = listed;
        let (head, damage) = match head {
            Ok(head) => (Some(head), None),
            Err(e) => (None, Some(e)),
        };
        let mut summary = SessionSummary { id, labels, head, last: None, damage };
        if let Some(head) = head
            && self.last
        {
            match self.last_message(&summary.id, &head).await {
                Ok(Some(last)) => summary.last = last,
                Ok(None) => return Ok(None),
                Err(e) if e.kind() == StoreErrorKind::Corrupt => summary.damage = Some(e),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(Some(summary))
    }

    /// The last message that a session had when it was listed. `None`: it is not that session any
    /// more, and may have another owner.
    async fn last_message(
        &self,
        id: &SessionId,
        head: &Head,
    ) -> Result<Option<Option<StoredMessage>>, StoreError> {
        let query = ReadQuery::backward(1, head.next_seq - 1).max_messages(1);
        let Some(page) = self.registry.store.read(id, query).await? else { return Ok(None) };
        if page.head.version.incarnation() != head.version.incarnation() {
            return Ok(None);
        }
        let Some(row) = page.rows.into_iter().next() else { return Ok(Some(None)) };
        Ok(Some(Some(StoredMessage { seq: row.seq, message: message(id, row)? })))
    }
}

impl fmt::Debug for OwnerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerSessions").field("query", &self.query).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{ListCursor, ListOrder, ListPlace};

    #[test]
    fn a_cursor_is_bound_to_its_owner_its_order_and_its_text() {
        let place = ListPlace { changed_at: 1_763_264_606_917, id: "s-1".parse().unwrap() };
        let cursor = ListCursor::new("u-42", ListOrder::NewestFirst, &place);
        assert_eq!(cursor.place("u-42", ListOrder::NewestFirst), Some(place));
        assert_eq!(cursor.place("u-43", ListOrder::NewestFirst), None);
        assert_eq!(cursor.place("u-42", ListOrder::ById), None);
        let digits = cursor.as_str();
        for at in 0..digits.len() {
            let other = if &digits[at..=at] == "0" { "1" } else { "0" };
            let altered = format!("{}{other}{}", &digits[..at], &digits[at + 1..]);
            let altered = ListCursor::from(&*altered);
            assert_eq!(altered.place("u-42", ListOrder::NewestFirst), None, "digit {at}");
        }
        let end = digits.len();
        for other in ["", "0", "zz", &digits[2..], &digits[..end - 2], &digits.to_uppercase()] {
            let other = ListCursor::from(other);
            assert_eq!(other.place("u-42", ListOrder::NewestFirst), None);
        }
    }
}
