//! The store's work on a session, while nobody polls it.

use crate::session::machine::{Answer, Lane};
use std::future::Future;
use std::pin::Pin;

pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The tasks of a session, at most one in each lane.
#[derive(Default)]
pub(crate) struct Tasks {
    main: Option<Task>,
    others: Vec<Task>,
}

struct Task {
    lane: Lane,
    /// Taken out while a caller polls it.
    future: Option<AnswerFuture>,
}

impl Tasks {
    pub(crate) fn add(&mut self, lane: Lane, future: AnswerFuture) {
        let task = Task { lane, future: Some(future) };
        if let Lane::Main = lane {
            self.main = Some(task);
        } else {
            self.others.push(task);
        }
    }

    /// Takes the first task out to be polled, from the one at `from` on, and moves `from` behind
    /// it. Leaves out tasks that another thread polls.
    pub(crate) fn take(&mut self, from: &mut usize) -> Option<(Lane, AnswerFuture)> {
        let tasks = self.main.iter_mut().chain(&mut self.others).enumerate().skip(*from);
        for (at, task) in tasks {
            if let Some(future) = task.future.take() {
                *from = at + 1;
                return Some((task.lane, future));
            }
        }
        None
    }

    /// Puts a task back that waits for the store.
    pub(crate) fn park(&mut self, lane: Lane, future: AnswerFuture) {
        let mut tasks = self.main.iter_mut().chain(&mut self.others);
        if let Some(task) = tasks.find(|task| task.lane == lane) {
            task.future = Some(future);
        }
    }

    /// Removes a task that has ended.
    pub(crate) fn remove(&mut self, lane: Lane) {
        if let Lane::Main = lane {
            self.main = None;
        } else {
            self.others.retain(|task| task.lane != lane);
        }
    }

    pub(crate) fn has_main(&self) -> bool {
        self.main.is_some()
    }

    /// Whether a caller polls the task of the main lane right now.
    pub(crate) fn is_main_polled(&self) -> bool {
        self.main.as_ref().is_some_and(|task| task.future.is_none())
    }
}
