//! The tags of a session's last messages, without reading large bodies for them.
//!
//! redb reads a row whole, so a message with a large body has its tag in a row of its own beside
//! it.

use super::find::Found;
use super::seqs::Seqs;
use super::snapshot::Snapshot;
use crate::error::Fault;
use crate::tables::{Rows, Tags};
use crate::view::Entry;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{IdTag, Order, StoreError, TAGGED_MESSAGES, Tagged};

impl Snapshot<'_> {
    /// Adds the tags of messages before `seq`, newest first, until the last [`TAGGED_MESSAGES`]
    /// were looked at.
    ///
    /// A row that cannot be read is one of them, without a tag: the load does not bring its
    /// message, and whoever asks for that is told.
    pub(super) fn tags_before(
        &self,
        id: &SessionId,
        found: &Found,
        seq: u64,
        tags: &mut Vec<Tagged>,
    ) -> Result<(), Fault> {
        let number = found.number;
        let mut left = TAGGED_MESSAGES.saturating_sub(tags.len());
        let Some(mut last) = seq.checked_sub(1).filter(|_| left > 0) else { return Ok(()) };
        let mut seqs = Seqs::new(id, &found.stored, &found.current, Order::Backward, (0, last))?;
        let mut take = |seq, tag: Result<IdTag, StoreError>| -> Result<bool, Fault> {
            seqs.pass(id, seq, 0)?;
            tags.extend(tag.ok().map(|tag| Tagged { seq, tag }));
            left -= 1;
            Ok(left > 0)
        };
        // Between large messages, small ones are read where they are.
        let mut large = self.view.walk::<Tags>((number, 0)..=(number, last), Order::Backward);
        loop {
            let next = large.next()?.map(Entry::read).transpose()?;
            let first = next.as_ref().map_or(0, |((_, seq), _)| seq.saturating_add(1));
            if first <= last {
                let between = (number, first)..=(number, last);
                let mut small = self.view.walk::<Rows>(between, Order::Backward);
                while let Some(entry) = small.next()? {
                    let ((_, seq), row) = entry.read()?;
                    let tag = rows::decode_message(id, number, seq, &row).map(|row| row.tag);
                    if !take(seq, tag)? {
                        return Ok(());
                    }
                }
            }
            let Some(((_, seq), row)) = next else { break };
            let Some(before) = seq.checked_sub(1) else { break };
            if !take(seq, rows::decode_tag(id, number, seq, &row))? {
                return Ok(());
            }
            last = before;
        }
        Ok(seqs.end(id)?)
    }
}
