//! The replies that one event stream follows.

use crate::wire::stream_cursor::ReplyPlace;
use durable_session::{Error, Follow, Followed};
use futures_util::FutureExt;
use futures_util::future::{self, select_all};

/// The open replies of a session, for one client.
#[derive(Debug, Default)]
pub(crate) struct Following {
    /// By their seq.
    replies: Vec<OpenReply>,
    /// Where the next look begins, so that no reply keeps the others from being looked at.
    turn: usize,
}

#[derive(Debug)]
struct OpenReply {
    follow: Follow,
    reopened: bool,
}

/// The next thing that happened to a reply.
pub(crate) type News = (ReplyPlace, Result<Followed, Error>);

impl Following {
    pub(crate) fn clear(&mut self) {
        self.replies.clear();
    }

    pub(crate) fn count(&self) -> usize {
        self.replies.len()
    }

    pub(crate) fn has(&self, seq: u64) -> bool {
        self.replies.iter().any(|reply| reply.follow.seq() == seq)
    }

    pub(crate) fn add(&mut self, follow: Follow, reopened: bool) {
        self.remove(follow.seq());
        let at = self.replies.partition_point(|reply| reply.follow.seq() < follow.seq());
        self.replies.insert(at, OpenReply { follow, reopened });
    }

    pub(crate) fn remove(&mut self, seq: u64) {
        self.replies.retain(|reply| reply.follow.seq() != seq);
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = ReplyPlace> {
        self.replies.iter().map(OpenReply::place)
    }

    /// Waits for the next chunk or end of any of the replies. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> News {
        let count = self.replies.len();
        if count == 0 {
            return future::pending().await;
        }
        let first = self.turn % count;
        let (before, from) = self.replies.split_at_mut(first);
        let looks = from.iter_mut().chain(before).map(|reply| Box::pin(reply.follow.next()));
        let (news, index, _) = select_all(looks).await;
        let index = (first + index) % count;
        self.turn = index + 1;
        (self.replies[index].place(), news)
    }

    /// The next chunk or end of any of the replies, if it is there already.
    pub(crate) fn next_now(&mut self) -> Option<News> {
        self.next().now_or_never()
    }

    /// The next chunk or end of the reply at `seq`, if it is there already.
    pub(crate) fn next_of(&mut self, seq: u64) -> Option<News> {
        let reply = self.replies.iter_mut().find(|reply| reply.follow.seq() == seq)?;
        let news = reply.follow.next().now_or_never()?;
        Some((reply.place(), news))
    }
}

impl OpenReply {
    fn place(&self) -> ReplyPlace {
        let (seq, at) = (self.follow.seq(), Some(self.follow.at()));
        ReplyPlace { seq, at, reopened: self.reopened }
    }
}
