//! One stored session: the rules of the contract in plain code.

use bytes::Bytes;
use durable_session::store::{
    ChunkPage, ChunkQuery, Claim, Commit, CommitOutcome, ExtendOutcome, Extension, Head, IdTag,
    Labels, Loaded, NewMessage, Op, OpenReply, Order, Page, ReadQuery, ReplyCounts, ReplyOpening,
    Row, StoreError, TAGGED_MESSAGES, Tagged, TailBounds,
};
use std::collections::BTreeMap;

pub(crate) struct Session {
    pub(crate) head: Head,
    pub(crate) labels: Labels,
    pub(crate) app: Bytes,
    messages: BTreeMap<u64, Message>,
    replies: BTreeMap<u64, Reply>,
}

struct Message {
    body: Bytes,
    tag: IdTag,
}

/// An open reply.
struct Reply {
    opening: ReplyOpening,
    chunks: Vec<Bytes>,
    /// The bytes of all chunks.
    bytes: u64,
    beats: u64,
}

impl Session {
    /// An empty session, before the operations of its first commit.
    pub(crate) fn new(head: Head) -> Self {
        Self {
            head,
            labels: Labels::NONE,
            app: Bytes::new(),
            messages: BTreeMap::new(),
            replies: BTreeMap::new(),
        }
    }

    /// Applies all operations on top of `head`, or changes nothing.
    ///
    /// The changes are staged first and stored at the end. So a refused operation leaves no trace,
    /// and the cost depends on the commit, not on the length of the conversation (S1, S8).
    pub(crate) fn apply(&mut self, commit: Commit, head: Head) -> CommitOutcome {
        let mut staged: BTreeMap<u64, Option<NewMessage>> = BTreeMap::new();
        let (mut app, mut labels) = (None, None);
        let mut next_seq = head.next_seq;

        for op in commit.ops {
            match op {
                Op::Append(message) => {
                    staged.insert(next_seq, Some(message));
                    next_seq += 1;
                }
                Op::Replace { seq, message } => {
                    let exists = match staged.get(&seq) {
                        Some(change) => change.is_some(),
                        None => self.messages.contains_key(&seq),
                    };
                    if !exists {
                        return CommitOutcome::NoSuchSeq { seq };
                    }
                    staged.insert(seq, Some(message));
                }
                Op::Remove { first, last } if first <= last => {
                    staged.range_mut(first..=last).for_each(|(_, change)| *change = None);
                    for (&seq, _) in self.messages.range(first..=last) {
                        staged.insert(seq, None);
                    }
                }
                Op::Remove { .. } => {}
                Op::SetApp(bytes) => app = Some(bytes),
                Op::SetLabels(new) => labels = Some(new),
                Op::Close { seq, claim, counts, message } => {
                    match self.open_reply(&staged, seq) {
                        Some((holder, has)) if holder == claim => {
                            if has != counts {
                                return CommitOutcome::Grew { seq, counts: has };
                            }
                        }
                        _ => return CommitOutcome::ReplyEnded { seq },
                    }
                    staged.insert(seq, Some(message));
                }
            }
        }

        self.head = head;
        self.head.next_seq = next_seq;
        for (seq, change) in staged {
            self.replies.remove(&seq);
            let old = match change {
                Some(NewMessage { body, tag, opens }) => {
                    self.head.messages += 1;
                    self.head.bytes += body.len() as u64;
                    self.replies.extend(opens.map(|opening| (seq, Reply::new(*opening))));
                    self.messages.insert(seq, Message { body, tag })
                }
                None => self.messages.remove(&seq),
            };
            if let Some(old) = old {
                self.head.messages -= 1;
                self.head.bytes -= old.body.len() as u64;
            }
        }
        self.app = app.unwrap_or_else(|| std::mem::take(&mut self.app));
        self.labels = labels.unwrap_or_else(|| std::mem::take(&mut self.labels));
        CommitOutcome::Committed(self.head)
    }

    /// The claim and the counts of the reply that is open at `seq` at this point of a commit.
    fn open_reply(
        &self,
        staged: &BTreeMap<u64, Option<NewMessage>>,
        seq: u64,
    ) -> Option<(Claim, ReplyCounts)> {
        match staged.get(&seq) {
            Some(change) => {
                let opens = change.as_ref()?.opens.as_ref()?;
                Some((opens.claim, ReplyCounts::default()))
            }
            None => self.replies.get(&seq).map(|reply| (reply.opening.claim, reply.counts())),
        }
    }

    /// Extends an open reply. `check` gets the bytes of the message's body and all chunks.
    pub(crate) fn extend(
        &mut self,
        extension: &Extension,
        check: impl FnOnce(u64) -> Result<(), StoreError>,
    ) -> Result<ExtendOutcome, StoreError> {
        let (Some(reply), Some(message)) =
            (self.replies.get_mut(&extension.seq), self.messages.get(&extension.seq))
        else {
            return Ok(ExtendOutcome::Ended);
        };
        if reply.opening.claim != extension.claim {
            return Ok(ExtendOutcome::Ended);
        }
        if extension.chunks.is_empty() {
            reply.beats += 1;
            return Ok(ExtendOutcome::Extended(reply.counts()));
        }
        let Some(news) = extension.news(reply.chunks.len() as u64) else {
            return Ok(ExtendOutcome::Gap(reply.counts()));
        };
        let bytes = reply.bytes + news.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        if !news.is_empty() {
            check(message.body.len() as u64 + bytes)?;
        }
        reply.chunks.extend_from_slice(news);
        reply.bytes = bytes;
        Ok(ExtendOutcome::Extended(reply.counts()))
    }

    pub(crate) fn touch(&mut self, at: u64) {
        self.head.last_accessed_at = self.head.last_accessed_at.max(at);
    }

    pub(crate) fn load(&self, bounds: TailBounds) -> Loaded {
        let likely = self.messages.len().min(TAGGED_MESSAGES);
        let (mut tail, mut tags) = (Vec::with_capacity(likely), Vec::with_capacity(likely));
        let mut bytes = 0_u64;
        let mut newest_first = self.messages.iter().rev();
        for (&seq, message) in newest_first.by_ref() {
            bytes = bytes.saturating_add(message.body.len() as u64);
            tags.push(Tagged { seq, tag: message.tag });
            if !tail.is_empty() && (tail.len() >= bounds.max_messages || bytes > bounds.max_bytes) {
                break;
            }
            tail.push(Row { seq, body: message.body.clone() });
        }
        let more = TAGGED_MESSAGES.saturating_sub(tags.len());
        tags.extend(
            newest_first.take(more).map(|(&seq, message)| Tagged { seq, tag: message.tag }),
        );
        tags.truncate(TAGGED_MESSAGES);
        tail.reverse();
        tags.reverse();
        Loaded {
            head: self.head,
            labels: self.labels.clone(),
            app: self.app.clone(),
            tail,
            tags,
            replies: self.replies.iter().map(Reply::open).collect(),
        }
    }

    pub(crate) fn page(&self, query: &ReadQuery) -> Page {
        let (rows, more) = if query.first > query.last {
            (Vec::new(), false)
        } else {
            let range = self.messages.range(query.first..=query.last);
            match query.order {
                Order::Forward => bounded(range, query.max_messages, query.max_bytes),
                Order::Backward => bounded(range.rev(), query.max_messages, query.max_bytes),
            }
        };
        let replies = match (rows.first(), rows.last()) {
            (Some(a), Some(b)) => {
                let seqs = a.seq.min(b.seq)..=a.seq.max(b.seq);
                self.replies.range(seqs).map(Reply::open).collect()
            }
            _ => Vec::new(),
        };
        Page { head: self.head, rows, replies, more }
    }

    pub(crate) fn chunks(&self, query: ChunkQuery) -> Option<ChunkPage> {
        let reply = self.replies.get(&query.seq)?;
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let (mut chunks, mut bytes, mut more) = (Vec::new(), 0_u64, false);
        for chunk in reply.chunks.iter().skip(offset) {
            bytes = bytes.saturating_add(chunk.len() as u64);
            more =
                !chunks.is_empty() && (chunks.len() >= query.max_chunks || bytes > query.max_bytes);
            if more {
                break;
            }
            chunks.push(chunk.clone());
        }
        Some(ChunkPage { reply: Reply::open((&query.seq, reply)), chunks, more })
    }

    pub(crate) fn has_open_replies(&self) -> bool {
        !self.replies.is_empty()
    }
}

impl Reply {
    fn new(opening: ReplyOpening) -> Self {
        Self { opening, chunks: Vec::new(), bytes: 0, beats: 0 }
    }

    fn counts(&self) -> ReplyCounts {
        ReplyCounts { chunks: self.chunks.len() as u64, beats: self.beats }
    }

    fn open((&seq, reply): (&u64, &Self)) -> OpenReply {
        let ReplyOpening { claim, format } = reply.opening.clone();
        OpenReply { seq, claim, format, counts: reply.counts(), bytes: reply.bytes }
    }
}

/// The longest run of first messages within both bounds, at least one; and whether the bounds cut
/// any.
fn bounded<'a>(
    messages: impl Iterator<Item = (&'a u64, &'a Message)>,
    max_messages: usize,
    max_bytes: u64,
) -> (Vec<Row>, bool) {
    let mut rows = Vec::new();
    let mut bytes = 0_u64;
    for (&seq, message) in messages {
        bytes = bytes.saturating_add(message.body.len() as u64);
        if !rows.is_empty() && (rows.len() >= max_messages || bytes > max_bytes) {
            return (rows, true);
        }
        rows.push(Row { seq, body: message.body.clone() });
    }
    (rows, false)
}
