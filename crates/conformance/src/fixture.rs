//! What cases share: a store under test, and short ways to use it.

use crate::failure::ensure_eq;
use crate::{Failure, Instance};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, Loaded, Op, Order, Page, ReadQuery, Row, SessionList, SessionStore,
    TailBounds, Version,
};
use std::sync::Arc;
use std::task::Poll;

/// A plausible time for commits, Unix milliseconds.
pub(crate) const T: u64 = 1_763_264_606_917;

pub(crate) type Checked<T = ()> = Result<T, Failure>;

/// A store under test.
pub(crate) struct Fixture {
    instance: Box<dyn Instance>,
}

impl Fixture {
    pub(crate) fn new(instance: Box<dyn Instance>) -> Self {
        Self { instance }
    }

    pub(crate) fn store(&self) -> Arc<dyn SessionStore> {
        self.instance.store()
    }

    pub(crate) fn list(&self) -> Checked<Arc<dyn SessionList>> {
        self.instance.list().ok_or_else(|| Failure::new("the factory declares List and gives no listing"))
    }

    pub(crate) async fn reopen(&mut self) -> Checked {
        Ok(self.instance.reopen().await?)
    }

    pub(crate) async fn crash_and_reopen(&mut self) -> Checked {
        Ok(self.instance.crash_and_reopen().await?)
    }

    pub(crate) async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Checked {
        Ok(self.instance.corrupt_message(id, seq).await?)
    }

    pub(crate) async fn corrupt_head(&mut self, id: &SessionId) -> Checked {
        Ok(self.instance.corrupt_head(id).await?)
    }

    /// A commit whose expectation is that the session is absent, and which must succeed.
    pub(crate) async fn create(&self, id: &SessionId, ops: Vec<Op>) -> Checked<Head> {
        self.committed(id, creation(ops)).await
    }

    /// A commit on top of `version` that must succeed.
    pub(crate) async fn change(&self, id: &SessionId, version: Version, ops: Vec<Op>) -> Checked<Head> {
        self.committed(id, on(version, ops)).await
    }

    /// A commit that must succeed.
    pub(crate) async fn committed(&self, id: &SessionId, commit: Commit) -> Checked<Head> {
        match self.store().commit(id, commit).await? {
            CommitOutcome::Committed(head) => Ok(head),
            other => {
                Err(Failure::new(format_args!("a commit that nothing speaks against ended as {other:?}")))
            }
        }
    }

    /// The head, the app state and all messages of a short session, which must exist.
    pub(crate) async fn all(&self, id: &SessionId) -> Checked<Loaded> {
        self.maybe_all(id)
            .await?
            .ok_or_else(|| Failure::new(format_args!("session {} is absent", id.as_str())))
    }

    /// The head, the app state and all messages of a short session.
    pub(crate) async fn maybe_all(&self, id: &SessionId) -> Checked<Option<Loaded>> {
        Ok(self.store().load(id, EVERYTHING).await?)
    }

    /// A page of a session, which must exist.
    pub(crate) async fn page(&self, id: &SessionId, query: ReadQuery) -> Checked<Page> {
        let page = self.store().read(id, query).await?;
        page.ok_or_else(|| Failure::new(format_args!("session {} is absent", id.as_str())))
    }

    /// The session must hold exactly these messages: head, load and read must all say so.
    pub(crate) async fn holds(&self, id: &SessionId, expected: &[(u64, &str)]) -> Checked<Loaded> {
        let loaded = self.all(id).await?;
        let expected = rows(expected);
        ensure_eq!(loaded.tail, expected, "the messages that load returns");
        let page = self.page(id, range(1, u64::MAX)).await?;
        ensure_eq!(page.rows, expected, "the messages that read returns");
        ensure_eq!(loaded.head.messages, expected.len() as u64, "the head's number of messages");
        let bytes: u64 = expected.iter().map(|row| row.body.len() as u64).sum();
        ensure_eq!(loaded.head.bytes, bytes, "the head's bytes of messages");
        Ok(loaded)
    }
}

/// Bounds that short sessions do not reach.
pub(crate) const EVERYTHING: TailBounds = TailBounds { max_messages: 1 << 20, max_bytes: u64::MAX };

pub(crate) fn id(text: &str) -> Checked<SessionId> {
    SessionId::new(text).map_err(Failure::new)
}

/// An id like those of real services.
pub(crate) fn session() -> Checked<SessionId> {
    id("session-1763264606917-w2j2kfd45")
}

/// A commit that creates a session.
pub(crate) fn creation(ops: Vec<Op>) -> Commit {
    Commit { expect: Expect::Absent { created_at: T }, ops, at: T }
}

/// A commit on top of `version`.
pub(crate) fn on(version: Version, ops: Vec<Op>) -> Commit {
    Commit { expect: Expect::Version(version), ops, at: T }
}

pub(crate) fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn append(text: &str) -> Op {
    Op::Append(body(text))
}

pub(crate) fn appends<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Op> {
    texts.into_iter().map(append).collect()
}

pub(crate) fn replace(seq: u64, text: &str) -> Op {
    Op::Replace { seq, body: body(text) }
}

pub(crate) fn remove(first: u64, last: u64) -> Op {
    Op::Remove { first, last }
}

pub(crate) fn set_app(text: &str) -> Op {
    Op::SetApp(body(text))
}

pub(crate) fn rows(expected: &[(u64, &str)]) -> Vec<Row> {
    expected.iter().map(|&(seq, text)| Row { seq, body: body(text) }).collect()
}

/// All messages from `first` to `last`, oldest first.
pub(crate) fn range(first: u64, last: u64) -> ReadQuery {
    ReadQuery { first, last, order: Order::Forward, max_messages: usize::MAX, max_bytes: u64::MAX }
}

/// Lets whatever else this thread runs go on, and other threads too.
pub(crate) async fn yield_now() {
    std::thread::yield_now();
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
