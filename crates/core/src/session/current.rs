//! Reads of a shared store: asking it whether the state in memory is current (clause C1).

use super::call::EarlierWait;
use super::config::{Reads, ms};
use super::driver::Wait;
use super::machine::{Asked, Earlier, LongView, Machine, Reach, View};
use super::registry::{Registry, Session};
use crate::error::Error;
use crate::store::{Hint, Hints, StoreError};
use crate::sync::{Arc, Mutex};
use futures_core::future::BoxFuture;
use std::future::poll_fn;
use std::task::Context;

/// The next step of a reader.
enum Next<'a> {
    Ask(Wait<'a, Asked>),
    Load {
        wait: EarlierWait<'a>,
        /// Whether it shows a state that is current for the reader.
        current: bool,
    },
}

impl Session {
    /// The state that readers see: on an exclusive store the last durable state seen, and on a
    /// shared store one that was current at some moment after this call.
    pub(crate) async fn current_view(&self) -> Result<Arc<View>, Error> {
        Ok(self.current(Reach::tail(self.registry.config.window)).await?.view)
    }

    /// Like [`current_view`](Self::current_view), but a load also brings messages from before the
    /// window, as many as one read returns.
    pub(crate) async fn current_long_view(&self) -> Result<LongView, Error> {
        self.current(Reach::whole(self.registry.config.window)).await
    }

    async fn current(&self, reach: Reach) -> Result<LongView, Error> {
        match self.registry.config.reads {
            None => self.seen(reach).await,
            Some(Reads::Current) => self.asked(reach).await,
            Some(Reads::Cached { at_most }) => {
                let since = self.registry.clock.monotonic_ms().checked_sub(ms(at_most));
                // A clock that has not run for so long yet: everything is young enough.
                if self.actor.lock().machine.is_current_at(since.unwrap_or(0)) {
                    self.seen(reach).await
                } else {
                    self.asked(reach).await
                }
            }
        }
    }

    /// A state that was current at some moment after this call.
    async fn asked(&self, reach: Reach) -> Result<LongView, Error> {
        let since = self.actor.lock().machine.sent_calls();
        // Once the call waits, it keeps the state in memory until it has read it.
        let mut hold = None;
        loop {
            let next = {
                let machine = &mut self.actor.lock().machine;
                if let Some(view) = machine.current_view(since) {
                    return Ok(LongView::from(Arc::clone(view)));
                }
                self.next(machine, reach, since)?
            };
            hold.get_or_insert_with(|| self.actor.hold());
            match next {
                Next::Ask(wait) => {
                    if let Some(view) = wait.await? {
                        return Ok(LongView::from(view));
                    }
                }
                Next::Load { wait: EarlierWait::Load(load), current } => {
                    let loaded = load.await?;
                    if current {
                        return Ok(loaded);
                    }
                }
                Next::Load { wait, .. } => wait.ended().await?,
            }
        }
    }

    fn next(&self, machine: &mut Machine, reach: Reach, since: u64) -> Result<Next<'_>, Error> {
        self.check_open()?;
        if machine.view().is_some() {
            return Ok(Next::Ask(Wait::new(self, machine.ask(since))));
        }
        let earlier = machine.earlier_or_load(reach);
        let current = matches!(earlier, Earlier::Load(_)) && machine.load_is_after(since);
        Ok(Next::Load { wait: self.wait_for(earlier), current })
    }

    /// Waits until the state in memory is one that was current at some moment after call `since`
    /// was sent: for a call that would end without a commit, which would have met a conflict.
    pub(crate) async fn confirm(&self, since: u64) -> Result<(), Error> {
        let reach = Reach::tail(self.registry.config.window);
        let _hold = self.actor.hold();
        // Once more to look at the last answer.
        for _ in 0..=self.registry.config.attempts {
            let next = {
                let machine = &mut self.actor.lock().machine;
                if machine.current_view(since).is_some() {
                    return Ok(());
                }
                self.next(machine, reach, since)?
            };
            match next {
                Next::Ask(wait) => {
                    wait.await?;
                    // While a commit is under way, the news is not taken in.
                    let earlier = {
                        let machine = &mut self.actor.lock().machine;
                        match machine.current_view(since) {
                            Some(_) => None,
                            None => machine.earlier().map(|earlier| self.wait_for(earlier)),
                        }
                    };
                    if let Some(earlier) = earlier {
                        earlier.ended().await?;
                    }
                }
                Next::Load { wait, .. } => wait.ended().await?,
            }
        }
        // Others change the session again and again.
        Err(Error::Contended { session: self.actor.id.clone() })
    }

    /// The number of the last call to the store, if the state in memory may be out of date.
    pub(crate) fn since(&self) -> Option<u64> {
        self.registry.config.reads.map(|_| self.actor.lock().machine.sent_calls())
    }

    /// Asks the store, shared or not, and takes in a newer state.
    pub(crate) async fn ask_store(&self) -> Result<Arc<View>, Error> {
        let since = self.actor.lock().machine.sent_calls();
        self.confirm(since).await?;
        self.view().await
    }

    /// Another writer may have changed the session.
    fn hinted(&self) {
        {
            let cell = &mut *self.actor.lock();
            let listened = cell.is_listened_to();
            cell.machine.hint(listened);
        }
        self.actor.wake_all();
    }
}

impl Registry {
    /// Reads hints until their stream ends.
    pub(crate) async fn listen(self: &Arc<Self>, hints: &dyn Hints) -> Result<(), StoreError> {
        let mut stream = hints.hints().await?;
        // Hints from before the stream was open are missing.
        let mut hint = Some(Hint::Missed);
        while let Some(next) = hint.filter(|_| !self.is_closed()) {
            match next {
                Hint::Session(id) => {
                    if let Some(session) = self.find(&id) {
                        session.hinted();
                    }
                }
                Hint::Missed => self.sessions().iter().for_each(Session::hinted),
            }
            hint = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
        }
        Ok(())
    }
}

/// Has a shared store asked at intervals while a caller waits for news of a session.
#[derive(Default)]
pub(crate) struct Interval {
    /// In a lock, so that watchers can be shared between threads.
    pause: Mutex<Option<BoxFuture<'static, ()>>>,
    /// A pause was over as soon as it began.
    over: bool,
    /// The number of the last call to the store when the pause began.
    since: u64,
}

impl Interval {
    /// Lets the time run. Returns whether a pause is over. Then the session has a question for the
    /// store, unless somebody else asked during the pause. The caller drives the session.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, session: &Session) -> bool {
        let Some(pausing) = &session.registry.config.watching else { return false };
        if session.registry.config.reads.is_none() {
            return false;
        }
        let mut pause = self.pause.lock();
        let over = match &mut *pause {
            Some(pause) => pause.as_mut().poll(cx).is_ready(),
            None => std::mem::take(&mut self.over),
        };
        if over {
            session.actor.lock().machine.want(self.since);
        } else if pause.is_some() {
            return false;
        }
        self.since = session.actor.lock().machine.sent_calls();
        let mut next = pausing.begin();
        *pause = if next.as_mut().poll(cx).is_ready() {
            // The caller gets its next turn at once.
            self.over = true;
            cx.waker().wake_by_ref();
            None
        } else {
            Some(next)
        };
        over
    }
}
