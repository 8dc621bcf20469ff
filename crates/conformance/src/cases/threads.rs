//! Promises of other modules, with callers in threads.

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, WHOLE, append, appends, body, id, on, range, session, set_app,
};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, DeleteOutcome, Head, Loaded, SessionStore};
use futures_executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Appends on top of the current version, and repeats it until it succeeds.
pub(super) async fn append_anyhow(
    store: &dyn SessionStore,
    id: &SessionId,
    text: &str,
    mut head: Head,
) -> Checked<Head> {
    loop {
        match store.commit(id, on(head, vec![append(text), set_app(text)])).await? {
            CommitOutcome::Committed(head) => return Ok(head),
            CommitOutcome::Conflict { current: Some(current) } => {
                ensure!(current != head.version, "a commit on the current version conflicted");
                head = load(store, id).await?.head;
            }
            other => return Err(Failure::new(format_args!("an append ended as {other:?}"))),
        }
    }
}

async fn load(store: &dyn SessionStore, id: &SessionId) -> Checked<Loaded> {
    let loaded = store.load(id, WHOLE).await?.loaded();
    loaded.ok_or_else(|| Failure::new("a session vanished while it was written"))
}

/// Runs each in a thread, and returns the first failure.
pub(super) fn run(threads: Vec<Box<dyn FnOnce() -> Checked + Send>>) -> Checked {
    let running: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    let ended: Vec<_> = running.into_iter().map(thread::JoinHandle::join).collect();
    ended
        .into_iter()
        .try_for_each(|end| end.unwrap_or_else(|payload| Err(Failure::from_panic(&*payload))))
}

pub(crate) async fn writers_in_threads_lose_nothing(t: &mut Fixture) -> Checked {
    const WRITERS: u64 = 4;
    const EACH: u64 = 25;
    let id = session()?;
    let head = t.create(&id, Vec::new()).await?;
    let writer = |writer: u64| -> Box<dyn FnOnce() -> Checked + Send> {
        let (store, id) = (t.store(), id.clone());
        Box::new(move || {
            let mut head = head;
            for n in 0..EACH {
                head = block_on(append_anyhow(&*store, &id, &format!("{writer} {n:02}"), head))?;
            }
            Ok(())
        })
    };
    run((0..WRITERS).map(writer).collect())?;

    let loaded = t.all(&id).await?;
    ensure_eq!(loaded.head.messages, WRITERS * EACH, "the number of messages");
    let seqs: Vec<u64> = loaded.tail.iter().map(|row| row.seq).collect();
    ensure_eq!(seqs, (1..=WRITERS * EACH).collect::<Vec<_>>(), "the seqs");
    for writer in 0..WRITERS {
        let prefix = format!("{writer} ");
        let own: Vec<_> = loaded
            .tail
            .iter()
            .map(|row| &row.body)
            .filter(|body| body.starts_with(prefix.as_bytes()))
            .collect();
        let expected: Vec<_> = (0..EACH).map(|n| body(&format!("{writer} {n:02}"))).collect();
        ensure_eq!(
            own,
            expected.iter().collect::<Vec<_>>(),
            "the messages of writer {writer}, in order"
        );
    }
    let last = loaded.tail.last().map(|row| row.body.clone());
    ensure_eq!(Some(loaded.app), last, "the app state of the last commit");
    Ok(())
}

/// Sets the flag when the writer ends, also by a panic.
pub(super) struct Ended(pub(super) Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) async fn readers_in_threads_see_whole_commits(t: &mut Fixture) -> Checked {
    const COMMITS: u64 = 60;
    let id = session()?;
    let head = t.create(&id, vec![append("00"), append("00"), set_app("00")]).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let (store, written, end) = (t.store(), id.clone(), Ended(ended.clone()));
    let mut threads: Vec<Box<dyn FnOnce() -> Checked + Send>> = vec![Box::new(move || {
        let _end = end;
        let mut head = head;
        for n in 1..=COMMITS {
            let text = format!("{n:02}");
            let ops = vec![append(&text), append(&text), set_app(&text)];
            match block_on(store.commit(&written, on(head, ops)))? {
                CommitOutcome::Committed(after) => head = after,
                other => {
                    return Err(Failure::new(format_args!(
                        "the only writer's commit ended as {other:?}"
                    )));
                }
            }
        }
        Ok(())
    })];
    for _ in 0..2 {
        let (store, id, ended) = (t.store(), id.clone(), ended.clone());
        threads.push(Box::new(move || {
            let mut seen = 0;
            loop {
                let last = ended.load(Ordering::Acquire);
                seen = block_on(see_whole_commits(&*store, &id, seen))?;
                if last {
                    return Ok(());
                }
            }
        }));
    }
    run(threads)?;
    let seen = see_whole_commits(&*t.store(), &id, 0).await?;
    ensure_eq!(seen, COMMITS, "the commits that are there in the end");
    Ok(())
}

/// The number of commits that a load sees. Checks that each is whole, and that no fewer are seen
/// than before.
async fn see_whole_commits(store: &dyn SessionStore, id: &SessionId, before: u64) -> Checked<u64> {
    let loaded = load(store, id).await?;
    let Some(page) = store.read(id, range(1, u64::MAX)).await? else {
        return Err(Failure::new("a session vanished while it was written"));
    };
    let commits = (loaded.head.messages / 2).saturating_sub(1);
    ensure!(commits >= before, "a reader saw the session go back");
    let text = body(&format!("{commits:02}"));
    ensure_eq!(loaded.app, text, "the app state in a load of {commits} commits");
    ensure_eq!(
        loaded.tail.len() as u64,
        loaded.head.messages,
        "messages of a load and of its head"
    );
    ensure_eq!(loaded.tail.last().map(|row| &row.body), Some(&text), "the last message of a load");
    ensure_eq!(page.rows.len() as u64, page.head.messages, "messages of a page and of its head");
    ensure!(page.rows.len() % 2 == 0, "a page shows half a commit");
    Ok(commits)
}

pub(crate) async fn sessions_in_threads_do_not_mix(t: &mut Fixture) -> Checked {
    let mut threads: Vec<Box<dyn FnOnce() -> Checked + Send>> = Vec::new();
    let mut ids = Vec::new();
    for n in 0..6 {
        let id = id(&format!("session-{n}"))?;
        let head = t.create(&id, appends(["0"])).await?;
        ids.push(id.clone());
        let store = t.store();
        threads.push(Box::new(move || {
            let mut head = head;
            for m in 1..=15 {
                let ops = vec![append(&m.to_string()), set_app(id.as_str())];
                match block_on(store.commit(&id, on(head, ops)))? {
                    CommitOutcome::Committed(after) => head = after,
                    other => {
                        return Err(Failure::new(format_args!(
                            "a session's only writer: {other:?}"
                        )));
                    }
                }
            }
            Ok(())
        }));
    }
    run(threads)?;
    let texts: Vec<_> = (0..=15).map(|m| m.to_string()).collect();
    let expected: Vec<_> = (1..).zip(texts.iter().map(String::as_str)).collect();
    for id in &ids {
        ensure_eq!(t.holds(id, &expected).await?.app, body(id.as_str()), "the app state");
    }
    Ok(())
}

pub(crate) async fn an_expiry_never_deletes_a_session_that_was_just_touched(
    t: &mut Fixture,
) -> Checked {
    for round in 0..25 {
        let id = id(&format!("session-{round}"))?;
        t.create(&id, appends(["a"])).await?;
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let (store, touched) = (t.store(), id.clone());
        let touch: Box<dyn FnOnce() -> Checked + Send> =
            Box::new(move || Ok(block_on(store.touch(&touched, T + 100))?));
        let (store, expired, answer) = (t.store(), id.clone(), outcome.clone());
        let expire: Box<dyn FnOnce() -> Checked + Send> = Box::new(move || {
            let outcome = block_on(store.delete(&expired, DeleteIf::IdleSince(T + 99)))?;
            *answer.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
            Ok(())
        });
        run(vec![touch, expire])?;
        let outcome = *outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (outcome, t.maybe_all(&id).await?) {
            (Some(DeleteOutcome::Deleted), None) => {}
            (Some(DeleteOutcome::Conflict { .. }), Some(loaded)) => {
                ensure_eq!(
                    loaded.head.last_accessed_at,
                    T + 100,
                    "the time of a session that a touch kept"
                );
            }
            (outcome, loaded) => {
                return Err(Failure::new(format_args!(
                    "the delete ended as {outcome:?}, and there is {loaded:?}"
                )));
            }
        }
    }
    Ok(())
}
