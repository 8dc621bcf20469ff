//! A store in a few lines, which remembers every state that was ever durable.

use crate::Message;
use crate::session::machine::{Close, Make};
use crate::store::{
    Claim, Commit, CommitOutcome, DeleteOutcome, Expect, ExtendOutcome, Extension, Head, IdTag,
    Incarnation, Loaded, NewMessage, Op, OpenReply, ReplyCounts, Row, TAGGED_MESSAGES, Tagged,
    TailBounds, Version,
};
use bytes::Bytes;
use std::collections::HashMap;

/// The messages of a session, by seq, and its app state.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Content {
    pub(super) messages: Vec<(u64, NewMessage)>,
    pub(super) app: Bytes,
    /// The open replies, by seq.
    pub(super) replies: Vec<(u64, Claim)>,
}

/// The chunks of a reply, also after its end.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) chunks: Vec<Bytes>,
    pub(super) beats: u64,
    /// The text of its final message.
    pub(super) closed: Option<String>,
}

impl Written {
    pub(super) fn counts(&self) -> ReplyCounts {
        ReplyCounts { chunks: self.chunks.len() as u64, beats: self.beats }
    }

    /// The chunks as one text.
    fn text(&self) -> String {
        let text = |chunk: &Bytes| serde_json::from_slice::<String>(chunk).unwrap();
        self.chunks.iter().map(text).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) head: Option<Head>,
    pub(super) content: Content,
    /// Every state that was durable, in order.
    pub(super) past: Vec<(Head, Content)>,
    /// Every reply that ever was.
    pub(super) written: HashMap<Claim, Written>,
    /// How often the session was created.
    pub(super) lives: u8,
    /// How often it was deleted.
    pub(super) deletes: usize,
}

impl Store {
    pub(super) fn commit(&mut self, commit: &Commit) -> CommitOutcome {
        let current = self.head.map(|head| head.version);
        let mut head = match (commit.expect, self.head) {
            (Expect::Absent { created_at, .. }, None) => {
                self.lives += 1;
                let first = Version::new(Incarnation::from_bytes([self.lives; 16]), 1);
                Head::created(commit, first, created_at)
            }
            (Expect::Version { version, next_seq }, Some(head)) if head.version == version => {
                assert_eq!(head.next_seq, next_seq, "a version has one next seq");
                head.advanced(commit)
            }
            _ => return CommitOutcome::Conflict { current },
        };
        let (mut content, mut closed) = (self.content.clone(), Vec::new());
        for op in &commit.ops {
            let Content { messages, replies, .. } = &mut content;
            if let Some(at) = op.message().and_then(|message| message.opens.as_ref()) {
                let Op::Append(_) = op else { unreachable!("no call opens a message again") };
                replies.push((head.next_seq, at.claim));
            }
            match op {
                Op::Append(message) => {
                    messages.push((head.next_seq, message.clone()));
                    head.next_seq += 1;
                }
                Op::Replace { seq, message } => {
                    let Some(old) = messages.iter_mut().find(|(at, _)| at == seq) else {
                        return CommitOutcome::NoSuchSeq { seq: *seq };
                    };
                    old.1 = message.clone();
                    replies.retain(|(open, _)| open != seq);
                }
                Op::Remove { first, last } => {
                    messages.retain(|(seq, _)| !(first..=last).contains(&seq));
                    replies.retain(|(seq, _)| !(first..=last).contains(&seq));
                }
                Op::SetApp(app) => content.app = app.clone(),
                Op::Close { seq, claim, counts, message } => {
                    let Some(at) = replies.iter().position(|open| *open == (*seq, *claim)) else {
                        return CommitOutcome::ReplyEnded { seq: *seq };
                    };
                    let has = self.written.entry(*claim).or_default().counts();
                    if has != *counts {
                        return CommitOutcome::Grew { seq: *seq, counts: has };
                    }
                    replies.remove(at);
                    let old = messages.iter_mut().find(|(at, _)| at == seq);
                    old.expect("a reply has a message").1 = message.clone();
                    closed.push((*claim, message.body.clone()));
                }
                Op::SetLabels(_) => unreachable!("no change makes it"),
            }
        }
        for (claim, body) in closed {
            let written = self.written.entry(claim).or_default();
            let message = Message::from_stored(body).unwrap();
            let text = message.text().unwrap().into_owned();
            assert!(text.ends_with(&format!(":{}", written.text())), "{text} lacks chunks");
            assert!(written.closed.replace(text).is_none(), "a reply is closed once");
        }
        head.messages = content.messages.len() as u64;
        head.bytes = content.messages.iter().map(|(_, message)| message.body.len() as u64).sum();
        (self.head, self.content) = (Some(head), content);
        self.past.push((head, self.content.clone()));
        CommitOutcome::Committed(head)
    }

    pub(super) fn load(&self, tail: TailBounds) -> Option<Box<Loaded>> {
        let head = self.head?;
        let messages = &self.content.messages;
        let from = |kept: usize| messages.len().saturating_sub(kept);
        let row =
            |(seq, message): &(u64, NewMessage)| Row { seq: *seq, body: message.body.clone() };
        let tag = |(seq, message): &(u64, NewMessage)| Tagged { seq: *seq, tag: message.tag };
        Some(Box::new(Loaded {
            head,
            labels: crate::store::Labels::NONE,
            app: self.content.app.clone(),
            tail: messages[from(tail.max_messages)..].iter().map(row).collect(),
            tags: messages[from(TAGGED_MESSAGES)..].iter().map(tag).collect(),
            replies: self
                .content
                .replies
                .iter()
                .map(|(seq, claim)| self.open(*seq, *claim))
                .collect(),
        }))
    }

    pub(super) fn delete(&mut self) -> DeleteOutcome {
        self.content = Content::default();
        match self.head.take() {
            Some(_) => {
                self.deletes += 1;
                DeleteOutcome::Deleted
            }
            None => DeleteOutcome::Absent,
        }
    }

    pub(super) fn extend(&mut self, extension: &Extension) -> ExtendOutcome {
        if !self.is_open(extension.seq, &extension.claim) {
            return ExtendOutcome::Ended;
        }
        let written = self.written.entry(extension.claim).or_default();
        match extension.news(written.chunks.len() as u64) {
            _ if extension.chunks.is_empty() => written.beats += 1,
            None => return ExtendOutcome::Gap(written.counts()),
            Some(news) => written.chunks.extend_from_slice(news),
        }
        ExtendOutcome::Extended(written.counts())
    }

    pub(super) fn is_open(&self, seq: u64, claim: &Claim) -> bool {
        self.content.replies.contains(&(seq, *claim))
    }

    fn open(&self, seq: u64, claim: Claim) -> OpenReply {
        let counts = self.written.get(&claim).map_or_else(Default::default, Written::counts);
        OpenReply { seq, claim, format: "text".into(), counts, bytes: 0 }
    }

    /// Makes the close of a reply, as a caller does; `None` if it has ended.
    pub(super) fn close(&self, make: &Make) -> Option<Close> {
        let Make { seq, claim, known, .. } = make;
        if known.counts.is_none() && !self.is_open(*seq, claim) {
            return None;
        }
        let stored = self.written.get(claim);
        let text = |chunk: &Bytes| String::from_utf8(chunk.to_vec()).unwrap();
        let (counts, chunks): (_, Vec<String>) = if let Some(counts) = known.counts {
            (counts, known.log.iter().map(str::to_owned).collect())
        } else {
            let chunks = stored.map(|stored| stored.chunks.iter().map(text).collect());
            let counts = stored.map_or_else(Default::default, Written::counts);
            (counts, chunks.unwrap_or_default())
        };
        let opened = known.opened.clone().or_else(|| {
            let stored = self.content.messages.iter().find(|(at, _)| at == seq)?;
            Message::from_stored(stored.1.body.clone())
        })?;
        let mut chunks = chunks.iter().map(String::as_str);
        let message = make.format.close(&opened, &mut chunks, make.how, None).unwrap();
        let (id, how) = (IdTag::of_message(&message), make.how);
        Some(Close { seq: *seq, claim: *claim, counts, message, id, how })
    }

    /// Another writer's commit.
    pub(super) fn write(&mut self, ops: Vec<Op>) {
        let expect = self.head.map_or(Expect::absent(1), |head| head.expect());
        let _ = self.commit(&Commit::new(expect, ops, 1));
    }
}
