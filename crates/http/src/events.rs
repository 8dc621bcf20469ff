//! `GET /events`: what happens to a session, as it happens.
//!
//! A stream is at a *position*: a version of the session, all of whose changes the client has. Each
//! published change moves it on by `edited` (if the client asked for these), `message` and `state`
//! events, in this order; where it cannot be sure of what it missed, it sends one `resync` and goes
//! on from what is there. A cursor is good for resuming if since its `base` commit there was
//! nothing but appending.

use crate::body::{Body, EventStream};
use crate::cursor::Cursor;
use crate::errors;
use crate::input::Input;
use crate::paging::{once, push_row};
use crate::refusal::{Refusal, respond};
use crate::sse;
use bytes::Bytes;
use durable_session::store::Version;
use durable_session::{
    AppState, ChatSession, Error, MessageQuery, SessionChange, Snapshot, Watched, Watcher,
};
use futures_util::stream;
use http::{HeaderMap, Response, StatusCode};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many missed messages are read at a time.
const PAGE: usize = 100;

const CONTENT_TYPE: &str = "text/event-stream";

/// The answer to `HEAD`.
pub(crate) fn head() -> Response<Body> {
    // A stream, since it has no length; without events, since `HEAD` has no body.
    respond(StatusCode::OK, Some(CONTENT_TYPE), Body::Events(EventStream::new(stream::empty())))
}

/// Opens a stream: from now, or from where `Last-Event-ID` says.
pub(crate) async fn open<A: AppState>(
    chat: &ChatSession<A>,
    input: &Input,
    streams: &Arc<AtomicUsize>,
    max_streams: usize,
) -> Result<Response<Body>, Refusal> {
    let from = last_event_id(&input.headers)?;
    let edited = wants_edited(input.query.as_deref())?;
    let open = Open::one_of(streams, max_streams)?;
    // Watching first: what is published between the two is told twice and recognized, never missed.
    let watcher = chat.watch();
    let snapshot = chat.snapshot().await.map_err(|e| errors::refusal(chat.id(), &e))?;
    let follow = Follow::begin(chat.clone(), watcher, &snapshot, from, edited, open)?;
    let stream = stream::unfold(follow, Follow::next);
    Ok(respond(StatusCode::OK, Some(CONTENT_TYPE), Body::Events(EventStream::new(stream))))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Refusal> {
    match headers.get("last-event-id") {
        // A client that has seen no event yet may send none as an empty text.
        Some(id) if !id.is_empty() => id.to_str().unwrap_or_default().parse().map(Some),
        _ => Ok(None),
    }
}

/// Whether the client asks to be told of messages that were replaced in place: `?edited=true`.
fn wants_edited(query: Option<&str>) -> Result<bool, Refusal> {
    let mut wanted = None;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "edited" {
            let value = value.parse().map_err(|_| Refusal::bad_request("`edited` must be true or false"))?;
            once(&mut wanted, "edited", value)?;
        }
    }
    Ok(wanted.unwrap_or(false))
}

/// An open stream, counted.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn one_of(streams: &Arc<AtomicUsize>, max: usize) -> Result<Self, Refusal> {
        let open = Self(Arc::clone(streams));
        if streams.fetch_add(1, Ordering::Relaxed) < max {
            Ok(open)
        } else {
            Err(Refusal::unavailable("too many event streams are open"))
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that follows one session.
struct Follow<A> {
    chat: ChatSession<A>,
    watcher: Watcher,
    /// The client asked for `edited` events.
    edited: bool,
    /// The version that the client has, once `edits` were sent, `seq` has come to `until` and
    /// `state` was sent.
    version: Option<Version>,
    /// Counter of the last commit that did more than append, as far as the client has it.
    base: u64,
    /// The last seq that the client has.
    seq: u64,
    /// The last seq that there is at `version`.
    until: u64,
    /// The messages that the commit `rebase` replaced in place, of which the client has not been
    /// told.
    edits: VecDeque<u64>,
    /// The client has not been told the app state that the commit `rebase` set.
    state: bool,
    /// Counter of a commit that did more than append, of which the client does not have everything.
    rebase: Option<u64>,
    ready: VecDeque<Bytes>,
    _open: Open,
}

impl<A: AppState> Follow<A> {
    fn begin(
        chat: ChatSession<A>,
        watcher: Watcher,
        now: &Snapshot<A>,
        from: Option<Cursor>,
        edited: bool,
        open: Open,
    ) -> Result<Self, Refusal> {
        let mut follow = Self {
            chat,
            watcher,
            edited,
            version: None,
            base: 0,
            seq: 0,
            until: 0,
            edits: VecDeque::new(),
            state: false,
            rebase: None,
            ready: VecDeque::new(),
            _open: open,
        };
        follow.jump(now);
        match from {
            None => follow.ready.push_back(sse::place(&follow.cursor())),
            // Created meanwhile: nobody can say what happened to it since.
            Some(from) if from.is_absent() && now.exists() => follow.resync(),
            Some(from) if !from.belongs_to(now.version()) => return Err(from.gone()),
            Some(from) if from.base == follow.base && from.seq <= follow.seq => {
                follow.seq = from.seq;
                follow.ready.push_back(sse::place(&from));
            }
            Some(_) => follow.resync(),
        }
        Ok(follow)
    }

    /// Takes the position of `now`.
    fn jump(&mut self, now: &Snapshot<A>) {
        self.version = now.version();
        self.base = now.base().map_or(0, Version::counter);
        self.seq = now.next_seq() - 1;
        self.until = self.seq;
        self.edits.clear();
        self.state = false;
        self.rebase = None;
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.version, self.base, self.seq)
    }

    fn resync(&mut self) {
        self.ready.push_back(sse::event("resync", &self.cursor(), "{}"));
    }

    /// The next bytes to send. It ends when the session cannot be read; the client resumes from its cursor.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some((bytes, self));
            }
            if let Err(e) = self.advance().await {
                errors::log(self.chat.id(), &e);
                return None;
            }
        }
    }

    async fn advance(&mut self) -> Result<(), Error> {
        if let Some(seq) = self.edits.pop_front() {
            return self.read_edited(seq).await;
        }
        if self.seq < self.until {
            return self.read_messages().await;
        }
        if self.state {
            return self.read_state().await;
        }
        match self.watcher.next().await {
            Watched::Changed(change) if self.is_known(&change) => Ok(()),
            Watched::Changed(change) if self.follows(&change) => Ok(()),
            _ => self.catch_up(false).await,
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

    /// Takes over a change of which it is clear what it was; `false` if it is not.
    fn follows(&mut self, change: &SessionChange) -> bool {
        let Some(version) = change.version else { return false };
        if self.version.is_some_and(|have| have.incarnation() != version.incarnation()) {
            return false;
        }
        let gap = !change.appended.is_empty() && change.appended.start != self.seq + 1;
        let silent = !change.replaced.is_empty() && !self.edited;
        if change.rewritten || gap || silent {
            return false;
        }
        let grew = change.replaced.is_empty() && !change.app_changed;
        if self.version.is_none() && grew {
            // The commit that creates a session is its first base.
            self.base = version.counter();
        }
        self.version = Some(version);
        self.until = self.until.max(change.appended.end.saturating_sub(1));
        self.edits.extend(&change.replaced);
        self.state = change.app_changed;
        self.rebase = (!grew).then(|| version.counter());
        true
    }

    /// Goes on from what is there now, telling the client unless it has that.
    async fn catch_up(&mut self, unsure: bool) -> Result<(), Error> {
        // Watched anew, so that what the client is about to read is not told, nor dropped, once more.
        self.watcher = self.chat.watch();
        let now = self.chat.snapshot().await?;
        if unsure || now.version() != self.version {
            self.jump(&now);
            self.resync();
        }
        Ok(())
    }

    async fn read_messages(&mut self) -> Result<(), Error> {
        let query = MessageQuery::after(self.seq, PAGE).and_before(self.until + 1);
        let page = self.chat.messages(query).await?;
        let same = self.cursor().belongs_to(page.version);
        if !same || page.messages.is_empty() {
            // Taken away before they were read.
            return self.catch_up(true).await;
        }
        for stored in &page.messages {
            self.seq = stored.seq;
            let mut data = String::with_capacity(stored.message.bytes() + 40);
            push_row(&mut data, stored.seq, stored.message.as_json());
            self.ready.push_back(sse::event("message", &self.cursor(), &data));
        }
        if !page.more {
            self.seq = self.until;
        }
        Ok(())
    }

    async fn read_edited(&mut self, seq: u64) -> Result<(), Error> {
        let page = self.chat.messages(MessageQuery::at(seq)).await?;
        let Some(stored) = page.messages.first().filter(|_| self.cursor().belongs_to(page.version)) else {
            // Removed before it was read.
            return self.catch_up(true).await;
        };
        let mut data = String::with_capacity(stored.message.bytes() + 40);
        push_row(&mut data, stored.seq, stored.message.as_json());
        if self.edits.is_empty() && !self.state {
            self.rebase();
        }
        self.ready.push_back(sse::event("edited", &self.cursor(), &data));
        Ok(())
    }

    /// The client has everything that the last commit did besides appending: its cursor is good
    /// from there on.
    fn rebase(&mut self) {
        self.base = self.rebase.take().unwrap_or(self.base);
    }

    async fn read_state(&mut self) -> Result<(), Error> {
        let app = self.chat.snapshot().await?.app_json()?;
        self.state = false;
        self.rebase();
        self.ready.push_back(sse::event("state", &self.cursor(), &format!("{{\"state\":{app}}}")));
        Ok(())
    }
}
