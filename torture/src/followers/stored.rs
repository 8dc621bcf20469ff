//! What is stored after a kill, compared with the journals of the followers.

use super::journal::Shown;
use super::script::{self, chunk_json, is_reply};
use crate::campaign::Tally;
use crate::model::Seen;
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Context, Error, Result, ensure};
use durable_session::store::{Claim, Row};
use durable_session::{Message, ReplyEnd, ReplyFormat, TextReply};
use std::collections::BTreeMap;

/// One session, as it was stored at the last kill, and as the callers were told that end replies.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The seq of the last message.
    pub(super) last: u64,
    /// Replies that were open, with the number of their chunks.
    open: BTreeMap<u64, (Claim, u64)>,
    /// Messages of replies that had ended.
    ended: BTreeMap<u64, Message>,
    /// How a reply ended, by seq, as callers were told.
    pub(super) told: BTreeMap<u64, String>,
}

impl Stored {
    /// Fails if something that was shown is not stored, or if a reply did not end exactly once.
    pub(super) fn check(
        &mut self,
        session: usize,
        mut seen: Seen,
        shown: &Shown,
        tally: &mut Tally,
    ) -> Result<()> {
        tally.checked(1 + seen.count());
        tally.add("chunks", seen.chunks.len() as u64);
        let rows = std::mem::take(&mut seen.loaded.tail);
        let message = |row: Row| -> Result<_> {
            Ok((row.seq, Message::from_json(String::from_utf8(row.body.to_vec())?)?))
        };
        let messages = rows.into_iter().map(message).collect::<Result<Vec<_>>>()?;
        check_messages(session, &messages, shown, tally)?;
        self.last = messages.last().map_or(0, |(seq, _)| *seq);
        let mut open = BTreeMap::new();
        for (seq, message) in messages.into_iter().filter(|(seq, _)| is_reply(*seq)) {
            let place = || format!("the reply {seq} of session {session}");
            let shown_chunks = shown.chunks.get(&seq).copied().unwrap_or(0);
            let reply = seen.loaded.replies.iter().find(|reply| reply.seq == seq);
            if let Some(reply) = reply {
                let chunks = seen.chunks.iter().filter(|chunk| chunk.seq == seq);
                let chunks = chunks.map(|chunk| String::from_utf8(chunk.text.to_vec()));
                let chunks = chunks.collect::<Result<Vec<_>, _>>().with_context(place)?;
                let count = chunks.len() as u64;
                self.check_open(session, (seq, &message), reply.claim, count)
                    .with_context(place)?;
                check_chunks(session, seq, chunks, shown_chunks, tally).with_context(place)?;
                open.insert(seq, (reply.claim, count));
                tally.add("open", 1);
            } else {
                self.check_ended(session, (seq, &message), shown_chunks, tally)
                    .with_context(place)?;
                self.ended.insert(seq, message);
            }
        }
        self.open = open;
        self.check_shown(session, shown)
    }

    /// Fails if any reply is open: each has to end once its session was loaded.
    pub(super) fn check_all_ended(&self) -> Result<()> {
        let open: Vec<_> = self.open.keys().collect();
        ensure!(open.is_empty(), "the replies {open:?} have no producer and did not end");
        Ok(())
    }

    /// Whether a reply is open of which somebody was shown a chunk.
    pub(super) fn is_open_and_shown(&self, chunks: &BTreeMap<u64, u64>) -> bool {
        self.open.keys().any(|seq| chunks.get(seq).is_some_and(|chunks| *chunks > 0))
    }

    fn check_open(
        &self,
        session: usize,
        (seq, message): (u64, &Message),
        claim: Claim,
        chunks: u64,
    ) -> Result<()> {
        hold!(!self.ended.contains_key(&seq), Wrong, "it had ended, and is open again");
        if let Some(how) = self.told.get(&seq) {
            hold!(false, Lost, "it is open, and its end as {how} was acknowledged");
        }
        if let Some((before, count)) = self.open.get(&seq) {
            let same = *before == claim && *count == chunks;
            hold!(same, Wrong, "its producer is gone, and it went on from chunk {count}");
        }
        let opened = script::message(session, seq).map_err(Error::from_boxed)?;
        hold!(*message == opened, Wrong, "the open message reads {:.200}", message.as_json());
        Ok(())
    }

    fn check_ended(
        &self,
        session: usize,
        (seq, message): (u64, &Message),
        shown: u64,
        tally: &mut Tally,
    ) -> Result<()> {
        let text = message.text().unwrap_or_default();
        let chunks = script::chunks_of(&text);
        let count = chunks.len() as u64;
        let should: Vec<_> =
            (0..count.max(shown)).map(|at| script::chunk(session, seq, at)).collect();
        let should: Vec<_> = should.iter().map(String::as_str).collect();
        Broken::between(&should, &chunks).into_result()?;
        tally.checked(chunks.len());
        let how = TextReply.ended(message).unwrap_or(ReplyEnd::Finished);
        let ended = script::ended(session, seq, count, how).map_err(Error::from_boxed)?;
        let is = if tally.alters(Kind::Wrong) { "altered" } else { message.as_json() };
        hold!(is == ended.as_json(), Wrong, "the message reads {is:.200}");
        hold!(script::plan(session, seq).may_end(how), Wrong, "nobody ended it as {how}");
        if let Some(told) = self.told.get(&seq) {
            hold!(how.as_str() == told, Wrong, "it ended as {how}, and callers were told {told}");
        }
        if let Some((_, chunks)) = self.open.get(&seq) {
            let same = how == ReplyEnd::Interrupted && *chunks == count;
            hold!(same, Wrong, "left with {chunks} chunks, it ended as {how} with {count}");
        }
        if let Some(before) = self.ended.get(&seq) {
            hold!(before == message, Wrong, "it ended twice");
        }
        Ok(())
    }

    /// Each message that anybody received whole is the stored one.
    fn check_shown(&self, session: usize, shown: &Shown) -> Result<()> {
        for (seq, json) in &shown.messages {
            let question;
            let stored = if is_reply(*seq) {
                self.ended.get(seq)
            } else {
                question = script::message(session, *seq).map_err(Error::from_boxed)?;
                Some(&question)
            };
            let same = stored.is_some_and(|stored| stored.as_json() == json);
            hold!(same, Lost, "message {seq} of session {session} was shown as {json:.200}");
        }
        Ok(())
    }
}

/// Every message that was shown is there; those behind it follow the script.
fn check_messages(
    session: usize,
    messages: &[(u64, Message)],
    shown: &Shown,
    tally: &Tally,
) -> Result<()> {
    let known = |seq: u64, id: Option<&str>| (seq, id.unwrap_or_default().to_owned());
    let is: Vec<_> = messages.iter().map(|(seq, m)| known(*seq, m.id().as_deref())).collect();
    let last = messages.last().map_or(0, |(seq, _)| *seq).max(shown.last);
    let mut should = vec![known(1, None)];
    for seq in 2..=last {
        let message = script::message(session, seq).map_err(Error::from_boxed)?;
        should.push(known(seq, message.id().as_deref()));
    }
    // Alterations are of what somebody was shown.
    let at = is.iter().position(|(seq, _)| *seq > shown.last).unwrap_or(is.len());
    let (mut was_shown, behind) = (is[..at].to_vec(), is[at..].to_vec());
    tally.sees(&mut was_shown, |(seq, _)| known(seq + 1_000_000, Some("altered")));
    was_shown.extend(behind);
    let broken = Broken::between(&should, &was_shown);
    Ok(broken.within(format_args!("session {session}")).into_result()?)
}

/// Every chunk that was shown is stored; those behind it follow the script.
fn check_chunks(
    session: usize,
    seq: u64,
    mut chunks: Vec<String>,
    shown: u64,
    tally: &Tally,
) -> Result<()> {
    let count = (chunks.len() as u64).max(shown);
    let should: Vec<_> = (0..count).map(|at| chunk_json(session, seq, at)).collect();
    let behind = chunks.split_off(chunks.len().min(usize::try_from(shown)?));
    tally.sees_chunks(&mut chunks, |_| "altered".to_owned());
    chunks.extend(behind);
    Ok(Broken::between(&should, &chunks).into_result()?)
}
