//! The replies of a history: what is expected of them, and their producers and followers.

use crate::Model;
use crate::common::Puppet;
use durable_session::store::{ChunkQuery, SessionStore};
use durable_session::{
    ChatSession, Error, Follow, Followed, Message, Opened, Reply, ReplyEnd, ReplyFormat, TextReply,
};

/// A reply as it should be.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) seq: u64,
    chunks: Vec<String>,
    pub(crate) end: Option<ReplyEnd>,
}

/// The users of the replies, in the order of [`Model::replies`]. A restart takes them away.
#[derive(Default)]
pub(crate) struct Users(Vec<(Option<Reply>, Option<Follow>)>);

/// The answer to a call that opens a reply.
#[derive(Debug, PartialEq)]
enum Answer {
    New(u64),
    Running(u64),
    Ended(u64, Message),
    Refused,
}

const REASON: &str = "no more";

impl Model {
    pub(crate) fn is_open(&self, seq: u64) -> bool {
        self.open().any(|reply| reply.seq == seq)
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Written> {
        self.replies.iter().filter(|reply| reply.end.is_none())
    }

    /// Replies whose messages are gone have ended.
    pub(crate) fn end_removed(&mut self) {
        let Self { replies, messages, .. } = self;
        for reply in replies.iter_mut().filter(|reply| reply.end.is_none()) {
            if messages.iter().all(|(seq, _)| *seq != reply.seq) {
                reply.end = Some(ReplyEnd::Removed);
            }
        }
    }

    /// The reply ends, and its chunks become its message, which is returned.
    fn close(&mut self, reply: usize, how: ReplyEnd) -> Message {
        let Written { seq, chunks, end } = &mut self.replies[reply];
        *end = Some(how);
        let (_, message) = self.messages.iter_mut().find(|(at, _)| at == seq).unwrap();
        let json: Vec<_> = chunks.iter().map(|chunk| format!("\"{chunk}\"")).collect();
        let reason = (how == ReplyEnd::Failed).then_some(REASON);
        let mut json = json.iter().map(String::as_str);
        *message = TextReply.close(message, &mut json, how, reason).unwrap();
        message.clone()
    }

    /// What the call is answered that posts a question and opens its reply.
    fn ask(&mut self, question: &Message) -> Answer {
        let reply = Message::assistant("");
        let reply = match question.id() {
            Some(id) => reply.with_id(format!("reply-0-to-{id}")),
            None => reply,
        };
        let known = self.find(&reply).cloned();
        let mut after = self.clone();
        let Ok(added) = after.add(std::slice::from_ref(question)) else { return Answer::Refused };
        match (known, added[0].1) {
            (Some((seq, _)), true) if self.is_open(seq) => return Answer::Running(seq),
            (Some((seq, message)), true) => return Answer::Ended(seq, message),
            // The question was removed, and its answer is still there.
            (Some(_), false) if after.find(&reply).is_some() => return Answer::Refused,
            _ => {}
        }
        let seq = after.push(TextReply.open(reply).unwrap());
        after.replies.push(Written { seq, chunks: Vec::new(), end: None });
        *self = after;
        Answer::New(seq)
    }
}

impl Users {
    /// Posts a question and opens its reply, or makes the same call again.
    pub(crate) async fn ask(&mut self, question: Message, chat: &ChatSession, model: &mut Model) {
        let expected = model.ask(&question);
        let opened = chat
            .reply(|draft| {
                draft.add_message(question.clone())?;
                Ok(Message::assistant(""))
            })
            .await;
        let answer = match opened {
            Ok(Opened::New(reply)) => {
                let seq = reply.seq();
                let follow = chat.follow(seq, self.0.len() as u64 % 3).await.unwrap();
                self.0.push((Some(reply), Some(follow)));
                Answer::New(seq)
            }
            Ok(Opened::Running(follow)) => Answer::Running(follow.seq()),
            Ok(Opened::Ended(stored)) => Answer::Ended(stored.seq, stored.message),
            Err(Error::IdReused { .. }) => Answer::Refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(answer, expected);
    }

    /// Pushes a chunk, perhaps to a reply that has ended.
    pub(crate) async fn push(&mut self, reply: usize, size: u8, model: &mut Model) {
        let Some((Some(producer), _)) = self.0.get_mut(reply) else { return };
        let written = &mut model.replies[reply];
        let chunk = format!("{} {}", written.chunks.len(), "x".repeat(usize::from(size)));
        let pushed = ended(producer.push(&chunk).await);
        assert_eq!(pushed, written.end.map_or(Ok(()), Err));
        if written.end.is_none() {
            written.chunks.push(chunk);
        }
    }

    /// Ends a reply, perhaps one that has ended. Returns whether that takes effect later.
    pub(crate) async fn end(
        &mut self,
        reply: usize,
        how: ReplyEnd,
        chat: &ChatSession,
        model: &mut Model,
    ) -> bool {
        let Some((producer, _)) = self.0.get_mut(reply) else { return false };
        if how == ReplyEnd::Stopped {
            let Written { seq, end, .. } = model.replies[reply];
            if end.is_none() {
                let stopped = chat.stop(seq).await.unwrap();
                assert_eq!(stopped.how, how);
                assert_eq!(stopped.message.unwrap().message, model.close(reply, how));
            }
            return false;
        }
        let Some(mut producer) = producer.take() else { return false };
        let before = model.replies[reply].end;
        let message = before.is_none().then(|| model.close(reply, how));
        let expected = message.ok_or(before.unwrap_or(how));
        let end = match how {
            ReplyEnd::Finished => producer.finish().await,
            ReplyEnd::Failed => producer.fail(REASON).await,
            _ => {
                drop(producer);
                return before.is_none();
            }
        };
        assert_eq!(ended(end.map(|stored| stored.message)), expected);
        false
    }

    /// The process is killed with all of them: nothing of it ends a reply.
    pub(crate) fn restart(&mut self, model: &mut Model) {
        self.0.iter_mut().for_each(|users| *users = (None, None));
        let open: Vec<_> =
            (0..model.replies.len()).filter(|at| model.replies[*at].end.is_none()).collect();
        for reply in open {
            model.close(reply, ReplyEnd::Interrupted);
        }
    }

    /// Every follower gets all chunks from its offset on, and then how the reply ended.
    pub(crate) async fn check_followers(self, model: &Model) {
        for (at, (written, (_, follow))) in model.replies.iter().zip(self.0).enumerate() {
            let Some(mut follow) = follow else { continue };
            let mut left = written.chunks.iter().enumerate().skip(at % 3);
            while left.len() > 0 || written.end.is_some() {
                match follow.next().await.unwrap() {
                    Followed::Chunk { at, json } => {
                        let (number, chunk) = left.next().unwrap();
                        assert_eq!((at, json), (number as u64, format!("\"{chunk}\"")));
                    }
                    Followed::Ended(ended) => {
                        assert_eq!((left.len(), Some(ended.how)), (0, written.end));
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

fn ended<T>(result: Result<T, Error>) -> Result<T, ReplyEnd> {
    result.map_err(|e| match e {
        Error::ReplyEnded { how, .. } => how,
        other => panic!("{other}"),
    })
}

/// The open replies and their chunks are those of the model.
pub(crate) async fn compare(chat: &ChatSession, store: &Puppet, model: &Model) {
    let open: Vec<_> = model.open().map(|reply| reply.seq).collect();
    let snapshot = chat.snapshot().await.unwrap();
    assert_eq!(snapshot.open_replies().collect::<Vec<_>>(), open);
    for reply in model.open() {
        let page = store.inner.read_chunks(chat.id(), ChunkQuery::from(reply.seq, 0)).await;
        let chunks = page.unwrap().unwrap().chunks;
        let expected = reply.chunks.iter().map(|chunk| format!("\"{chunk}\""));
        assert!(chunks.into_iter().eq(expected), "the chunks of the reply {}", reply.seq);
    }
}

/// Reads until the replies have ended that nobody writes any more.
pub(crate) async fn settle(chat: &ChatSession, model: &Model) {
    let open = model.open().count();
    for _ in 0..1000 {
        if chat.snapshot().await.unwrap().open_replies().count() == open {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("a reply without a producer does not end");
}
