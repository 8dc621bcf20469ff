//! The events of one session for one client.
//!
//! A feed has a *position*: a version of the session, up to which the client has every change, and
//! a place in each reply that is open. A change advances the position by `edited` events (if the
//! client asked for them), then `message` events, then `state`. An open reply is a `reply` event, a
//! `chunk` for each of its chunks, and at its end the `message` (or `edited`) that it has become.
//! Where the feed may have missed a change, it sends `resync` and continues from the current
//! version. A client can resume from a cursor if every commit since the cursor's `base` has only
//! appended messages or closed replies: the cursor names the replies that were open.

use crate::routes::following::{Following, News};
use crate::wire::cursor::Cursor;
use crate::wire::errors;
use crate::wire::paging::push_row;
use crate::wire::refusal::Refusal;
use crate::wire::sse::{self, Outgoing};
use crate::wire::stream_cursor::{MAX_REPLIES, ReplyPlace, StreamCursor};
use bytes::Bytes;
use durable_session::store::{StoreErrorKind, Version};
use durable_session::{
    AppState, ChatSession, Error, Followed, Message, MessageQuery, SessionChange, Snapshot,
    Watched, Watcher,
};
use futures_util::future::{Either, select};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most missed messages that are read at a time.
const PAGE: usize = 100;

/// Counts an open stream; dropping it ends the count.
pub(crate) struct StreamPermit(Arc<AtomicUsize>);

impl StreamPermit {
    pub(crate) fn acquire(streams: &Arc<AtomicUsize>, max: usize) -> Result<Self, Refusal> {
        let permit = Self(Arc::clone(streams));
        if streams.fetch_add(1, Ordering::Relaxed) < max {
            Ok(permit)
        } else {
            Err(Refusal::unavailable("too many event streams are open"))
        }
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counter of the last commit that did more than append messages or close replies.
fn base<A: AppState>(now: &Snapshot<A>) -> u64 {
    now.base().map_or(0, Version::counter)
}

/// The events of one session for one client.
pub(crate) struct Feed<A> {
    chat: ChatSession<A>,
    watcher: Watcher,
    /// Whether the client asked for `edited` events.
    edited: bool,
    /// The version that the client has once `edits`, `reopened`, the messages up to `until`, and
    /// the app state are sent.
    version: Option<Version>,
    /// The counter of the last commit that did more than append messages or close replies and is
    /// sent completely.
    base: u64,
    /// The seq of the last message that is sent.
    seq: u64,
    /// The seq of the last message at `version`.
    until: u64,
    /// The replies that the client is to be told of, or resumes.
    joining: VecDeque<ReplyPlace>,
    /// Once the replies of `joining` are named, this is to be sent.
    naming: Option<String>,
    following: Following,
    /// A reply is open that is not followed: its end is a `resync`, and so is resuming.
    unfollowed: bool,
    /// Replies that a change has closed, whose last chunks and end may still be to be sent.
    closing: VecDeque<u64>,
    /// Messages that the commit `rebase` replaced in place, still to be sent.
    edits: VecDeque<u64>,
    /// Messages that the commit `rebase` reopened, still to be sent.
    reopened: VecDeque<u64>,
    /// Whether the app state that the commit `rebase` set is still to be sent.
    state: bool,
    /// The counter of a commit that did more than append and is not sent completely.
    rebase: Option<u64>,
    ready: Outgoing,
    _permit: StreamPermit,
}

impl<A: AppState> Feed<A> {
    pub(crate) fn begin(
        chat: ChatSession<A>,
        watcher: Watcher,
        now: &Snapshot<A>,
        from: Option<StreamCursor>,
        edited: bool,
        permit: StreamPermit,
    ) -> Result<Self, Refusal> {
        let mut feed = Self {
            chat,
            watcher,
            edited,
            version: None,
            base: 0,
            seq: 0,
            until: 0,
            joining: VecDeque::new(),
            naming: None,
            following: Following::default(),
            unfollowed: false,
            closing: VecDeque::new(),
            edits: VecDeque::new(),
            reopened: VecDeque::new(),
            state: false,
            rebase: None,
            ready: Outgoing::default(),
            _permit: permit,
        };
        feed.jump(now);
        match from {
            None => feed.open(),
            // The session was created meanwhile. Its changes since then are unknown.
            Some(from) if from.place.is_absent() && now.exists() => feed.resync(),
            Some(from) if !from.place.belongs_to(now.version()) => return Err(from.place.gone()),
            Some(from) if from.place.base == feed.base && from.place.seq <= feed.seq => {
                feed.seq = from.place.seq;
                feed.joining = from.replies.into();
                feed.open();
            }
            Some(_) => feed.resync(),
        }
        Ok(feed)
    }

    /// Moves the position to `now`, before the openings of all open replies.
    fn jump(&mut self, now: &Snapshot<A>) {
        self.version = now.version();
        self.base = base(now);
        self.seq = now.next_seq() - 1;
        self.until = self.seq;
        self.following.clear();
        self.unfollowed = false;
        self.joining.clear();
        for seq in now.open_replies() {
            self.join(ReplyPlace::unsent(seq, false));
        }
        self.closing.clear();
        self.edits.clear();
        self.reopened.clear();
        self.state = false;
        self.rebase = None;
    }

    /// Has the client told of a reply, if the stream can follow one more.
    fn join(&mut self, reply: ReplyPlace) {
        if self.following.count() + self.joining.len() < MAX_REPLIES {
            self.joining.push_back(reply);
        } else {
            self.unfollowed = true;
        }
    }

    fn cursor(&self) -> StreamCursor {
        // No commit has the counter 0.
        let base = if self.unfollowed { 0 } else { self.base };
        let mut replies: Vec<_> =
            self.following.places().chain(self.joining.iter().copied()).collect();
        replies.sort_unstable_by_key(|reply| reply.seq);
        StreamCursor { place: self.place(base), replies }
    }

    fn place(&self, base: u64) -> Cursor {
        Cursor::new(self.version, base, self.seq)
    }

    /// Whether the session at `version` is still the one that the client knows.
    fn is_of(&self, version: Option<Version>) -> bool {
        self.place(0).belongs_to(version)
    }

    /// Begins the stream: with one item if no reply is open.
    fn open(&mut self) {
        let text = sse::opening(&self.cursor());
        let named = [sse::NAMED, sse::PING].concat();
        if self.joining.is_empty() {
            self.ready.push_text(text + &named);
        } else {
            self.ready.push_text(text);
            self.naming = Some(named);
        }
    }

    fn resync(&mut self) {
        self.ready.push("resync", &self.cursor(), "{}");
        self.naming = Some(sse::NAMED.to_owned());
    }

    /// The next bytes to send. The stream ends when the session cannot be read; the client resumes
    /// from its cursor.
    pub(crate) async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop() {
                return Some((bytes, self));
            }
            if let Err(e) = self.advance().await {
                errors::log(self.chat.id(), &e);
                return None;
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Error> {
        if let Some(reply) = self.joining.pop_front() {
            return self.begin_reply(reply).await.map(drop);
        }
        if let Some(text) = self.naming.take() {
            self.ready.push_text(text);
            return Ok(());
        }
        if let Some(&seq) = self.closing.front() {
            if let Some(news) = self.following.next_of(seq) {
                return self.tell(news).await;
            }
            // It was sent, or another reply writes the message now.
            self.closing.pop_front();
            return Ok(());
        }
        if let Some(seq) = self.edits.pop_front() {
            return self.read_edited(seq).await;
        }
        if let Some(seq) = self.reopened.pop_front() {
            self.settle();
            return self.begin_reply(ReplyPlace::unsent(seq, true)).await.map(drop);
        }
        if self.seq < self.until {
            return self.read_messages().await;
        }
        if self.state {
            return self.read_state().await;
        }
        self.wait().await
    }

    /// Waits for a change of the session or of a reply.
    async fn wait(&mut self) -> Result<(), Error> {
        let news = match select(pin!(self.watcher.next()), pin!(self.following.next())).await {
            Either::Left((watched, _)) => Err(watched),
            Either::Right((news, _)) => Ok(news),
        };
        match news {
            Err(Watched::Changed(change)) if self.is_known(&change) => Ok(()),
            Err(Watched::Changed(change)) if self.follows(&change) => Ok(()),
            Err(_) => self.catch_up(false).await,
            Ok(news) => {
                self.tell(news).await?;
                // More chunks that are there already go into the same item.
                while self.ready.takes_chunks()
                    && let Some(more) = self.following.next_now()
                {
                    self.tell(more).await?;
                }
                Ok(())
            }
        }
    }

    /// Whether the client has this change already.
    fn is_known(&self, change: &SessionChange) -> bool {
        match (self.version, change.version) {
            (Some(have), Some(new)) => {
                have.incarnation() == new.incarnation() && new.counter() <= have.counter()
            }
            (None, None) => true,
            _ => false,
        }
    }

    /// Takes over a change that events can describe; `false` for any other change.
    fn follows(&mut self, change: &SessionChange) -> bool {
        let Some(version) = change.version else { return false };
        if self.version.is_some_and(|have| have.incarnation() != version.incarnation()) {
            return false;
        }
        let gap = !change.appended.is_empty() && change.appended.start != self.seq + 1;
        let silent = !change.replaced.is_empty() && !self.edited;
        let unseen = self.unfollowed && change.closed.iter().any(|seq| !self.following.has(*seq));
        if change.rewritten || gap || silent || unseen {
            return false;
        }
        let reopened = change.opened.iter().filter(|seq| !change.appended.contains(seq));
        self.reopened.extend(reopened);
        self.closing.extend(change.closed.iter().filter(|seq| self.following.has(**seq)));
        let grew = change.replaced.is_empty() && self.reopened.is_empty() && !change.app_changed;
        if self.version.is_none() && grew {
            // The commit that created the session is its first base.
            self.base = version.counter();
        }
        self.version = Some(version);
        self.until = self.until.max(change.appended.end.saturating_sub(1));
        self.edits.extend(&change.replaced);
        self.state = change.app_changed;
        self.rebase = (!grew).then(|| version.counter());
        true
    }

    /// Moves the position to the current version, with a `resync` if the client does not have that
    /// version or `missed` is set.
    async fn catch_up(&mut self, missed: bool) -> Result<(), Error> {
        // A new watcher: changes that the snapshot already has must not come again.
        self.watcher = self.chat.watch();
        let now = self.chat.snapshot().await?;
        if missed || now.version() != self.version {
            self.jump(&now);
            self.resync();
        }
        Ok(())
    }

    async fn read_messages(&mut self) -> Result<(), Error> {
        // Before the page: a message that is open in the page was open before, or is reopened
        // later.
        let open: Vec<u64> = self.chat.snapshot().await?.open_replies().collect();
        let query = MessageQuery::after(self.seq, PAGE).and_before(self.until + 1);
        let page = self.chat.messages(query).await?;
        if !self.is_of(page.version) || page.messages.is_empty() {
            // The messages were removed before they were read.
            return self.catch_up(true).await;
        }
        for stored in &page.messages {
            self.seq = stored.seq;
            if !open.contains(&stored.seq) {
                self.push_row("message", stored.seq, &stored.message);
            } else if !self.begin_reply(ReplyPlace::unsent(stored.seq, false)).await? {
                return Ok(());
            }
        }
        if !page.more {
            self.seq = self.until;
        }
        Ok(())
    }

    async fn read_edited(&mut self, seq: u64) -> Result<(), Error> {
        let page = self.chat.messages(MessageQuery::at(seq)).await?;
        let Some(stored) = page.messages.first().filter(|_| self.is_of(page.version)) else {
            // The message was removed before it was read.
            return self.catch_up(true).await;
        };
        self.settle();
        self.push_row("edited", stored.seq, &stored.message);
        Ok(())
    }

    async fn read_state(&mut self) -> Result<(), Error> {
        let app = self.chat.snapshot().await?.app_json()?;
        self.state = false;
        self.settle();
        self.ready.push("state", &self.cursor(), &format!("{{\"state\":{app}}}"));
        Ok(())
    }

    /// If the commit `rebase` is sent completely, clients can resume from there on.
    fn settle(&mut self) {
        if self.edits.is_empty() && self.reopened.is_empty() && !self.state {
            self.base = self.rebase.take().unwrap_or(self.base);
        }
    }

    fn push_row(&mut self, event: &str, seq: u64, message: &Message) {
        let mut data = String::with_capacity(message.bytes() + 40);
        push_row(&mut data, seq, message.as_json());
        self.ready.push(event, &self.cursor(), &data);
    }

    /// Follows a reply from its place on; its opening is sent first, unless the client has it.
    /// Returns whether the client need not read the session again.
    async fn begin_reply(&mut self, reply: ReplyPlace) -> Result<bool, Error> {
        if self.following.count() >= MAX_REPLIES {
            self.unfollowed = true;
            return Ok(true);
        }
        let follow = match self.chat.follow(reply.seq, reply.at.unwrap_or(0)).await {
            Ok(follow) => follow,
            Err(Error::NoSuchMessage { .. }) => return self.catch_up(true).await.map(|()| false),
            Err(e) => return Err(e),
        };
        let now = self.chat.snapshot().await?.version();
        if !self.is_of(now) {
            return self.catch_up(true).await.map(|()| false);
        }
        if !follow.was_open() {
            return self.end_reply(reply, Some(follow.message())).await;
        }
        let opened = reply.at.is_none().then(|| follow.message().clone());
        self.following.add(follow, reply.reopened);
        if let Some(message) = opened {
            self.push_row("reply", reply.seq, &message);
        }
        Ok(true)
    }

    /// Sends the message that a reply has become. Returns whether the client need not read the
    /// session again.
    async fn end_reply(
        &mut self,
        reply: ReplyPlace,
        message: Option<&Message>,
    ) -> Result<bool, Error> {
        self.following.remove(reply.seq);
        match message {
            Some(message) if self.edited || !reply.reopened => {
                let event = if reply.reopened { "edited" } else { "message" };
                self.push_row(event, reply.seq, message);
                Ok(true)
            }
            _ => self.catch_up(true).await.map(|()| false),
        }
    }

    /// Sends the chunk or the end of a reply.
    async fn tell(&mut self, (reply, news): News) -> Result<(), Error> {
        let seq = reply.seq;
        match news {
            Ok(Followed::Chunk { at, json }) => {
                let data = format!("{{\"seq\":{seq},\"at\":{at},\"chunk\":{json}}}");
                self.ready.push_chunk(&self.cursor(), &data);
                Ok(())
            }
            Ok(Followed::Ended(ended)) => {
                let message = ended.message.as_ref().map(|stored| &stored.message);
                self.end_reply(reply, message).await.map(drop)
            }
            Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt => {
                // The other events go on.
                errors::log(self.chat.id(), &e.into());
                self.following.remove(seq);
                self.unfollowed = true;
                Ok(())
            }
            Err(e) => Err(e),
            Ok(_) => Ok(()),
        }
    }
}
