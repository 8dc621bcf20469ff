//! The journals of the followers, held by the parent: what each of them received, as it told.

use super::script::{self, SESSIONS, chunk_json, is_reply};
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// What one follower received, over all its connections and lives.
#[derive(Debug, Default)]
pub(super) struct Journal {
    sessions: [Received; SESSIONS],
    /// The followers of single replies in this life of the process, by session and seq.
    alone: BTreeMap<(usize, u64), Alone>,
}

#[derive(Debug, Default)]
struct Received {
    /// The cursor of the last event.
    cursor: Option<String>,
    /// The messages that were received whole.
    messages: BTreeMap<u64, String>,
    /// The replies whose opening was received, with the number of chunks that followed.
    replies: BTreeMap<u64, u64>,
    /// The seq of the next message.
    next: u64,
}

/// A follower of one reply.
#[derive(Debug)]
struct Alone {
    /// The first chunk that it asked for, and the next one.
    from: u64,
    next: u64,
    message: Option<String>,
}

/// What all followers together were shown of one session.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The seq of the last message.
    pub(super) last: u64,
    /// The number of chunks, by reply.
    pub(super) chunks: BTreeMap<u64, u64>,
    /// The messages that came whole.
    pub(super) messages: Vec<(u64, String)>,
}

impl Journal {
    /// Takes in a line of the follower: `WHAT SESSION SEQ AT CURSOR JSON`. Fails if the follower
    /// must not have received it.
    pub(super) fn take(&mut self, line: &str) -> Result<()> {
        let mut words = line.splitn(6, ' ');
        let mut word = || words.next().with_context(|| format!("a follower said {line:?}"));
        let (what, session) = (word()?, word()?.parse()?);
        let (seq, at): (u64, u64) = (word()?.parse()?, word()?.parse()?);
        let (cursor, json) = (word()?, word()?);
        let place = format!("{what} {seq}, chunk {at}, in session {session}");
        if what.starts_with("alone") {
            return self.take_alone(what, session, seq, at, json).context(place);
        }
        let received = self.sessions.get_mut(session).context("no such session")?;
        received.take(session, what, seq, at, json).context(place)?;
        received.cursor = Some(cursor.to_owned());
        Ok(())
    }

    fn take_alone(
        &mut self,
        what: &str,
        session: usize,
        seq: u64,
        at: u64,
        json: &str,
    ) -> Result<()> {
        if what == "alone" {
            let before =
                self.alone.insert((session, seq), Alone { from: at, next: at, message: None });
            hold!(before.is_none(), Doubled, "the reply opens twice");
            return Ok(());
        }
        let alone = self.alone.get_mut(&(session, seq)).context("nobody follows it")?;
        hold!(alone.message.is_none(), Doubled, "it comes after the end");
        if what == "alone-message" {
            alone.message = Some(json.to_owned());
            return Ok(());
        }
        next_chunk(session, seq, &mut alone.next, at, json)
    }

    /// The follower's process was killed. Another one goes on from its cursors.
    pub(super) fn killed(&mut self) {
        self.alone.clear();
    }

    /// Where a follower goes on, in each session; empty where it begins.
    pub(super) fn cursors(&self) -> String {
        let cursors = self.sessions.iter().map(|received| received.cursor.as_deref());
        cursors.map(Option::unwrap_or_default).collect::<Vec<_>>().join(",")
    }

    /// Whether it knows where it begins, in every session.
    pub(super) fn has_begun(&self) -> bool {
        self.sessions.iter().all(|received| received.cursor.is_some())
    }

    /// Whether it has `chunks` chunks of a reply behind the message `after`.
    pub(super) fn has_chunks(&self, session: usize, after: u64, chunks: u64) -> bool {
        let replies = self.sessions.get(session).map(|received| &received.replies);
        replies.is_some_and(|replies| replies.range(after + 1..).any(|(_, has)| *has >= chunks))
    }

    /// Whether it has every message of a session up to `last` whole, and follows no reply alone.
    pub(super) fn is_complete(&self, session: usize, last: u64) -> bool {
        let has = |received: &Received| (2..=last).all(|seq| received.messages.contains_key(&seq));
        let mut alone = self.alone.iter().filter(|((of, _), _)| *of == session);
        self.sessions.get(session).is_some_and(has)
            && alone.all(|(_, alone)| alone.message.is_some())
    }

    /// Adds what it was shown of a session.
    pub(super) fn show(&self, session: usize, shown: &mut Shown) {
        let mut chunks = |seq: u64, count: u64| {
            let most = shown.chunks.entry(seq).or_insert(0);
            *most = count.max(*most);
        };
        if let Some(received) = self.sessions.get(session) {
            received.replies.iter().for_each(|(seq, count)| chunks(*seq, *count));
            let messages = received.messages.iter();
            shown.messages.extend(messages.map(|(seq, json)| (*seq, json.clone())));
            shown.last = shown.last.max(received.last());
        }
        for ((_, seq), alone) in self.alone.iter().filter(|((of, _), _)| *of == session) {
            if alone.next > alone.from {
                chunks(*seq, alone.next);
            }
            shown.messages.extend(alone.message.iter().map(|json| (*seq, json.clone())));
        }
    }
}

impl Received {
    fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    fn take(&mut self, session: usize, what: &str, seq: u64, at: u64, json: &str) -> Result<()> {
        match what {
            "at" => {
                self.next = 2;
                Ok(())
            }
            "reply" => {
                self.next_message(seq)?;
                let opened = script::message(session, seq).map_err(anyhow::Error::from_boxed)?;
                hold!(is_reply(seq) && opened.as_json() == json, Ghosts, "nobody opened {json}");
                self.replies.insert(seq, 0);
                Ok(())
            }
            "chunk" => {
                hold!(!self.messages.contains_key(&seq), Doubled, "it comes after the end");
                let count = self.replies.get_mut(&seq);
                let Some(count) = count else {
                    return Err(Broken::new(Kind::Lost, 1, "its opening did not come").into());
                };
                next_chunk(session, seq, count, at, json)
            }
            "message" => {
                hold!(!self.messages.contains_key(&seq), Doubled, "the message comes twice");
                if !self.replies.contains_key(&seq) {
                    self.next_message(seq)?;
                }
                self.messages.insert(seq, json.to_owned());
                Ok(())
            }
            "resync" => {
                bail!("a follower has to begin anew, although the session only grew")
            }
            _ => bail!("a follower is told of something that did not happen"),
        }
    }

    fn next_message(&mut self, seq: u64) -> Result<()> {
        hold!(seq >= self.next, Doubled, "the message before it is {}", self.last());
        hold!(seq <= self.next, Lost, "the message before it is {}", self.last());
        self.next += 1;
        Ok(())
    }
}

fn next_chunk(session: usize, seq: u64, next: &mut u64, at: u64, json: &str) -> Result<()> {
    hold!(at >= *next, Doubled, "the next chunk is {next}");
    hold!(at <= *next, Lost, "the next chunk is {next}");
    hold!(json == chunk_json(session, seq, at), Ghosts, "nobody pushed {json:.60}");
    *next += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::script::{chunk_json, message};
    use super::Journal;
    use crate::verdict::Broken;

    /// Takes in these lines; the counts of what the last one broke.
    fn found(lines: &[String]) -> Vec<(&'static str, u64)> {
        let mut journal = Journal::default();
        let (last, before) = lines.split_last().unwrap();
        for line in before {
            journal.take(line).unwrap();
        }
        journal.take(last).err().map_or_else(Vec::new, |e| Broken::of(&e).counts(&[]).collect())
    }

    fn line(what: &str, seq: u64, at: u64) -> String {
        let json = match what {
            "chunk" | "alone-chunk" => chunk_json(4, seq, at),
            _ => message(4, seq).unwrap().as_json().to_owned(),
        };
        format!("{what} 4 {seq} {at} c{at} {json}")
    }

    #[test]
    fn a_follower_gets_every_message_and_every_chunk_once_and_in_order() {
        let begun = [line("at", 0, 0), line("message", 2, 0), line("reply", 3, 0)];
        let with = |lines: &[String]| found(&[&begun[..], lines].concat());
        let chunk = |at| line("chunk", 3, at);
        assert_eq!(with(&[chunk(0), chunk(1), line("message", 3, 0)]), []);
        assert_eq!(with(&[chunk(0), chunk(0)]), [("doubled", 1)]);
        assert_eq!(with(&[chunk(1)]), [("lost", 1)]);
        assert_eq!(with(&[chunk(0).replace('y', "z")]), [("ghosts", 1)]);
        assert_eq!(with(&[line("chunk", 5, 0)]), [("lost", 1)]);
        assert_eq!(with(&[line("message", 3, 0), chunk(0)]), [("doubled", 1)]);
        assert_eq!(with(&[line("message", 3, 0), line("message", 3, 0)]), [("doubled", 1)]);
        assert_eq!(with(&[line("reply", 3, 0)]), [("doubled", 1)]);
        assert_eq!(with(&[line("message", 2, 0)]), [("doubled", 1)]);
        assert_eq!(with(&[line("message", 6, 0)]), [("lost", 1)]);
        assert_eq!(with(&[line("resync", 0, 0)]), [("wrong", 1)]);
        assert_eq!(with(&["chunk 4 3".to_owned()]), [("wrong", 1)]);
    }

    #[test]
    fn a_follower_of_one_reply_gets_each_chunk_once_from_its_offset_on() {
        let with = |lines: &[String]| found(&[&[line("alone", 3, 2)], lines].concat());
        let chunk = |at| line("alone-chunk", 3, at);
        assert_eq!(with(&[chunk(2), chunk(3), line("alone-message", 3, 4)]), []);
        assert_eq!(with(&[chunk(1)]), [("doubled", 1)]);
        assert_eq!(with(&[chunk(3)]), [("lost", 1)]);
        assert_eq!(with(&[line("alone-message", 3, 0), chunk(2)]), [("doubled", 1)]);
    }
}
