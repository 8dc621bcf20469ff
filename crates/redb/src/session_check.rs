//! Verification of the rows beside the messages of a session: tags, replies, chunks and the keys of
//! lists.

use crate::error::{Fault, contradiction, is_contradiction};
use crate::layout::replies::{decode, not_in_line};
use crate::layout::{Snapshot, key_of_open_replies, keys_of_owner};
use crate::tables::{Chunks, Heads, Lists, Name, Replies, Rows, Table, Tags};
use crate::view::{View, Walk};
use durable_session::SessionId;
use durable_session::rows::{self, LARGE_BODY, MessageRow};
use durable_session::store::{Labels, Order, StoreError};

/// Counts of the rows that belong to a session.
#[derive(Debug, Default)]
pub(crate) struct RowCounts {
    pub(crate) heads: u64,
    pub(crate) rows: u64,
    tags: u64,
    replies: u64,
    chunks: u64,
    listed: u64,
    /// Sessions with a damaged head, whose lists are not known.
    unknown: u64,
}

/// The check of one session.
pub(crate) struct SessionCheck<'a> {
    pub(crate) view: &'a View<'a>,
    pub(crate) id: &'a SessionId,
    pub(crate) number: u64,
    pub(crate) counts: &'a mut RowCounts,
    pub(crate) damage: &'a mut Vec<StoreError>,
}

impl SessionCheck<'_> {
    fn contradicts(&mut self, text: &'static str, seq: u64) {
        self.damage.push(contradiction(text).in_session(self.id).at_seq(seq));
    }

    /// Checks the tag row of a message row; returns whether there is one.
    pub(crate) fn tag(
        &mut self,
        seq: u64,
        row: &[u8],
        message: Option<&MessageRow<'_>>,
    ) -> Result<bool, Fault> {
        if rows::body_bytes(row.len()) <= LARGE_BODY as u64 {
            return Ok(false);
        }
        let Some(tag) = self.view.get::<Tags>(&(self.number, seq))? else {
            if message.is_some() {
                self.contradicts("the tag row of a large message is missing", seq);
            }
            return Ok(false);
        };
        match rows::decode_tag(self.id, self.number, seq, &tag) {
            Err(error) => self.damage.push(error),
            Ok(tag) if message.is_some_and(|message| message.tag != tag) => {
                self.contradicts("the tag row of a message has another tag than the message", seq);
            }
            Ok(_) => {}
        }
        Ok(true)
    }

    /// Counts the tag rows. `tagged`: messages that have one.
    pub(crate) fn tags(&mut self, tagged: u64) -> Result<(), Fault> {
        let found = count::<Tags>(self.view, (self.number, 0), (self.number, u64::MAX))?;
        self.counts.tags += found;
        if found != tagged {
            let text = "a tag row belongs to no large message";
            self.damage.push(contradiction(text).in_session(self.id));
        }
        Ok(())
    }

    /// Checks all open replies and their chunks; returns whether there are any.
    pub(crate) fn replies(&mut self) -> Result<bool, Fault> {
        let (view, number) = (self.view, self.number);
        let mut chunks = 0;
        let mut any = false;
        let mut replies = view.walk::<Replies>((number, 0)..=(number, u64::MAX), Order::Forward);
        while let Some(entry) = replies.next()? {
            let ((_, seq), row) = entry.read()?;
            any = true;
            self.counts.replies += 1;
            let body = view.get::<Rows>(&(number, seq))?.map(|row| rows::body_bytes(row.len()));
            match rows::decode_reply(self.id, number, seq, &row) {
                Err(error) => self.damage.push(error),
                Ok(reply) if body != Some(reply.body_bytes) => {
                    self.contradicts(
                        "a reply is open on a message that is missing or was replaced",
                        seq,
                    );
                }
                Ok(_) => {}
            }
            chunks += self.chunks(seq)?;
        }
        let all = count::<Chunks>(view, (number, 0, 0), (number, u64::MAX, u64::MAX))?;
        self.counts.chunks += all;
        if all != chunks {
            let text = "chunks belong to a reply that is not open";
            self.damage.push(contradiction(text).in_session(self.id));
        }
        Ok(any)
    }

    /// Checks the chunks of one reply; returns the number of their rows.
    fn chunks(&mut self, seq: u64) -> Result<u64, Fault> {
        let number = self.number;
        let (mut count, mut bytes) = (0, 0);
        // `None` after a row that cannot be read.
        let mut next = Some(0);
        let view = self.view;
        let of_reply = (number, seq, 0)..=(number, seq, u64::MAX);
        let mut chunks = view.walk::<Chunks>(of_reply, Order::Forward);
        while let Some(entry) = chunks.next()? {
            let (place, row) = entry.read()?;
            count += 1;
            let offset = place.2;
            match decode(self.id, place, row) {
                Err(error) => {
                    self.damage.push(error);
                    next = None;
                }
                Ok(row) => {
                    bytes += row.chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
                    if next.is_some_and(|next| next != offset || bytes != row.bytes) {
                        self.damage.push(not_in_line(self.id, seq, next.unwrap_or(offset)));
                    }
                    bytes = row.bytes;
                    next = Some(row.end());
                }
            }
        }
        Ok(count)
    }

    /// Checks the list keys of the session. `owner`: its labels and its time, if they are known.
    pub(crate) fn lists(
        &mut self,
        owner: Option<(&Labels, u64)>,
        has_replies: bool,
    ) -> Result<(), Fault> {
        if has_replies {
            let text = "the session has an open reply and is missing in the list of open replies";
            self.listed(&key_of_open_replies(self.id), text)?;
        }
        let Some((labels, changed_at)) = owner else {
            self.counts.unknown += 1;
            return Ok(());
        };
        for key in keys_of_owner(self.id, labels, changed_at).iter().flatten() {
            self.listed(key, "the session is missing in a list of its owner")?;
        }
        Ok(())
    }

    fn listed(&mut self, key: &Name, text: &'static str) -> Result<(), Fault> {
        if self.view.has::<Lists>(key)? {
            self.counts.listed += 1;
        } else {
            self.damage.push(contradiction(text).in_session(self.id));
        }
        Ok(())
    }
}

impl RowCounts {
    /// Reports rows that belong to no session; `damage`: the damage found in sessions.
    pub(crate) fn strays(
        &self,
        snapshot: &Snapshot<'_>,
        damage: &[StoreError],
    ) -> Result<Vec<StoreError>, Fault> {
        let view = &snapshot.view;
        let mut strays = Vec::new();
        let mut stray = |is: bool, text| {
            if is {
                strays.push(contradiction(text));
            }
        };
        stray(
            self.heads < all::<Heads>(view)? || self.rows < all::<Rows>(view)?,
            "rows belong to no session: an id or its number row is damaged or lost",
        );
        stray(self.tags < all::<Tags>(view)?, "tag rows belong to no session");
        stray(self.replies < all::<Replies>(view)?, "open replies belong to no session");
        stray(self.chunks < all::<Chunks>(view)?, "chunks belong to no session");
        // A session that is missing in its list was reported; its stray key is the same damage.
        let reported = self.unknown > 0 || damage.iter().any(is_contradiction);
        stray(
            !reported && self.listed < all::<Lists>(view)?,
            "a list has a session that does not belong there",
        );
        Ok(strays)
    }
}

/// The number of rows of a table.
fn all<T: Table>(view: &View<'_>) -> Result<u64, Fault> {
    walked(view.walk::<T>(.., Order::Forward))
}

/// The number of rows from `first` to `last`.
fn count<T: Table>(view: &View<'_>, first: T::Key, last: T::Key) -> Result<u64, Fault> {
    walked(view.walk::<T>(first..=last, Order::Forward))
}

fn walked<T: Table>(mut walk: Walk<'_, T>) -> Result<u64, Fault> {
    let mut count = 0;
    while walk.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}
