//! Polling the store.

use super::send::send;
use crate::error::{Error, ErrorChain};
use crate::session::actor::{Actor, AnswerFuture, Cell};
use crate::session::config::Reads;
use crate::session::machine::{Answer, Lane};
use crate::session::registry::{Registry, Session};
use crate::store::{OpenReply, StoreError, StoreErrorKind};
use crate::sync::Arc;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker};

/// Polls the session's tasks, and the ones that follow from them, as far as they go without
/// waiting.
pub(crate) fn drive(session: &Session) {
    drive_until(session, |_| {});
}

/// Like [`drive`], for a reader that does not wait for the store. If another thread polls at its
/// end, that thread wakes this reader afterwards: its poll may have begun before the answer came.
pub(crate) fn drive_to_read(session: &Session) {
    drive_until(session, Cell::ask_to_be_woken);
}

fn drive_until(session: &Session, at_end: impl Fn(&mut Cell)) {
    let Session { registry, actor, .. } = session;
    let charge = |weight, now| {
        let looks = registry.charge(actor, weight, now);
        make_room_at(registry, looks, now);
    };
    drive_and(registry, actor, charge, at_end);
}

/// Looks at up to `looks` live sessions and drops idle and surplus ones from memory.
pub(crate) fn make_room(registry: &Registry, looks: usize) {
    make_room_at(registry, looks, registry.clock.now_ms());
}

fn make_room_at(registry: &Registry, looks: usize, now: u64) {
    registry.make_room(looks, now, |actor, used_at| {
        // It does not count as use.
        let charge = |weight, _| {
            registry.charge(actor, weight, used_at);
        };
        drive_and(registry, actor, charge, |_| {});
    });
}

/// Polls the session's tasks. `charge` is told the session's weight and the time after each answer;
/// `at_end` runs under the lock under which no more task was found.
fn drive_and(
    registry: &Registry,
    actor: &Arc<Actor>,
    charge: impl Fn(u64, u64),
    at_end: impl Fn(&mut Cell),
) {
    let (mut now, mut from) = (registry.clock.now_ms(), 0);
    loop {
        let (task, woken_before) = {
            let mut cell = actor.lock();
            launch(registry, actor, &mut cell, now);
            let task = cell.tasks.take(&mut from);
            match &task {
                Some((Lane::Main, _)) => cell.woken = false,
                Some(_) => {}
                // Nothing to do, or other callers poll and will wake us.
                None => at_end(&mut cell),
            }
            (task, cell.wakes)
        };
        let Some((lane, mut future)) = task else { return };
        match poll(actor, lane, &mut future) {
            Poll::Pending => {
                let woken = {
                    let mut cell = actor.lock();
                    cell.tasks.park(lane, future);
                    cell.wakes != woken_before
                };
                // A caller that polled meanwhile found no task, so all callers are woken. The task
                // is not polled again here: an executor that wants its turn back (tokio's budget)
                // would wake it again at once, until it has its turn.
                if woken {
                    actor.wake_all();
                }
            }
            Poll::Ready(answer) => {
                from = 0;
                note(registry, actor, &answer);
                now = registry.clock.now_ms();
                let (wakers, weight, of_replies) = {
                    let mut cell = actor.lock();
                    cell.tasks.remove(lane);
                    let mut effects = cell.machine.complete(answer, now);
                    let (weight, of_replies) = (effects.weight, effects.replies.take());
                    if let Some(of_replies) = &of_replies {
                        registry.stats.interrupted(of_replies.interrupted);
                    }
                    cell.take_in(effects);
                    (cell.take_wakers(), weight, of_replies)
                };
                if let Some(of_replies) = of_replies {
                    interrupt_dead(registry, actor, &of_replies.suspects);
                }
                charge(weight, now);
                wakers.wake();
            }
        }
    }
}

/// Has the replies interrupted whose producers are gone (clause C12).
pub(crate) fn interrupt_dead(registry: &Registry, actor: &Actor, suspects: &[OpenReply]) {
    // The store is asked without the lock. A claim that nobody holds is never held again.
    for open in suspects.iter().filter(|open| registry.is_dead(open)) {
        actor.lock().machine.interrupt(open);
    }
}

/// Starts all the work that can be started.
fn launch(registry: &Registry, actor: &Actor, cell: &mut Cell, now: u64) {
    if let Some(Reads::Cached { .. }) = registry.config.reads {
        cell.machine.set_time(registry.clock.monotonic_ms());
    }
    while let Some(call) = cell.machine.next(now) {
        let lane = call.lane();
        registry.stats.sent(&call);
        let task = send(Arc::clone(&registry.store), actor.id.clone(), call);
        cell.tasks.add(lane, task);
    }
}

/// Polls a task once. A store that panics has failed with an unknown outcome; it harms nobody else.
fn poll(actor: &Arc<Actor>, lane: Lane, future: &mut AnswerFuture) -> Poll<Answer> {
    let waker = Waker::from(Arc::clone(actor));
    let polled =
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
    polled.unwrap_or_else(|_| {
        let e = StoreError::new(StoreErrorKind::OutcomeUnknown, "the store panicked");
        Poll::Ready(lane.failed(e.in_session(&actor.id)))
    })
}

/// Counts an answer, and logs the failure of a touch or an interruption: no caller waits for one.
fn note(registry: &Registry, actor: &Actor, answer: &Answer) {
    registry.stats.answered(answer);
    if let Answer::Touched(Err(e)) = answer {
        // The read itself has succeeded. The next read tries again.
        let (session, error) = (actor.id.fingerprint(), Error::from(e.clone()));
        tracing::warn!(%session, error = %ErrorChain(&error), "a touch could not be written");
    }
    if let Answer::Asked(Err(e)) = answer {
        // Watchers ask again. Readers that waited for it are told.
        let (session, error) = (actor.id.fingerprint(), Error::from(e.clone()));
        tracing::debug!(%session, error = %ErrorChain(&error), "a question to the store failed");
    }
    if let Answer::Made(seq, Err(e)) = answer {
        // The next load tries again.
        let (session, error) = (actor.id.fingerprint(), Error::from(e.clone()));
        let error = ErrorChain(&error);
        tracing::warn!(%session, seq, %error, "an interrupted reply could not be closed");
    }
}
