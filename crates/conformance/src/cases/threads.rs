//! The same promises when callers are threads.

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, EVERYTHING, Fixture, T, append, appends, body, id, on, range, session, set_app,
};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, DeleteOutcome, SessionStore, Version};
use futures_executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Appends on top of whatever is there, until it succeeds.
async fn append_anyhow(
    store: &dyn SessionStore,
    id: &SessionId,
    text: &str,
    mut version: Version,
) -> Checked<Version> {
    loop {
        match store.commit(id, on(version, vec![append(text), set_app(text)])).await? {
            CommitOutcome::Committed(head) => return Ok(head.version),
            CommitOutcome::Conflict { current: Some(current) } => {
                ensure!(current != version, "a commit on the current version conflicted");
                version = current;
            }
            other => return Err(Failure::new(format_args!("an append ended as {other:?}"))),
        }
    }
}

/// Runs all in threads of their own, and tells the first failure.
fn run(threads: Vec<Box<dyn FnOnce() -> Checked + Send>>) -> Checked {
    let running: Vec<_> = threads.into_iter().map(thread::spawn).collect();
    let ended: Vec<_> = running.into_iter().map(thread::JoinHandle::join).collect();
    ended.into_iter().try_for_each(|end| end.unwrap_or_else(|payload| Err(Failure::from_panic(&*payload))))
}

pub(crate) async fn writers_in_threads_lose_nothing(t: &mut Fixture) -> Checked {
    const WRITERS: u64 = 4;
    const EACH: u64 = 25;
    let id = session()?;
    let version = t.create(&id, Vec::new()).await?.version;
    let writer = |writer: u64| -> Box<dyn FnOnce() -> Checked + Send> {
        let (store, id) = (t.store(), id.clone());
        Box::new(move || {
            let mut version = version;
            for n in 0..EACH {
                version = block_on(append_anyhow(&*store, &id, &format!("{writer} {n:02}"), version))?;
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
        ensure_eq!(own, expected.iter().collect::<Vec<_>>(), "the messages of writer {writer}, in order");
    }
    let last = loaded.tail.last().map(|row| row.body.clone());
    ensure_eq!(Some(loaded.app), last, "the app state of the last commit");
    Ok(())
}

/// Says that the writer has ended, however it ended.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) async fn readers_in_threads_see_whole_commits(t: &mut Fixture) -> Checked {
    const COMMITS: u64 = 60;
    let id = session()?;
    let version = t.create(&id, vec![append("00"), append("00"), set_app("00")]).await?.version;
    let ended = Arc::new(AtomicBool::new(false));
    let (store, written, end) = (t.store(), id.clone(), Ended(ended.clone()));
    let mut threads: Vec<Box<dyn FnOnce() -> Checked + Send>> = vec![Box::new(move || {
        let _end = end;
        let mut version = version;
        for n in 1..=COMMITS {
            let text = format!("{n:02}");
            let ops = vec![append(&text), append(&text), set_app(&text)];
            match block_on(store.commit(&written, on(version, ops)))? {
                CommitOutcome::Committed(head) => version = head.version,
                other => {
                    return Err(Failure::new(format_args!("the only writer's commit ended as {other:?}")));
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

/// How many commits a load sees, which must be whole and no fewer than were seen before.
async fn see_whole_commits(store: &dyn SessionStore, id: &SessionId, before: u64) -> Checked<u64> {
    let (Some(loaded), Some(page)) =
        (store.load(id, EVERYTHING).await?, store.read(id, range(1, u64::MAX)).await?)
    else {
        return Err(Failure::new("a session vanished while it was written"));
    };
    let commits = (loaded.head.messages / 2).saturating_sub(1);
    ensure!(commits >= before, "a reader saw the session go back");
    let text = body(&format!("{commits:02}"));
    ensure_eq!(loaded.app, text, "the app state in a load of {commits} commits");
    ensure_eq!(loaded.tail.len() as u64, loaded.head.messages, "messages of a load and of its head");
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
        let version = t.create(&id, appends(["0"])).await?.version;
        ids.push(id.clone());
        let store = t.store();
        threads.push(Box::new(move || {
            let mut version = version;
            for m in 1..=15 {
                let ops = vec![append(&m.to_string()), set_app(id.as_str())];
                match block_on(store.commit(&id, on(version, ops)))? {
                    CommitOutcome::Committed(head) => version = head.version,
                    other => return Err(Failure::new(format_args!("a session's only writer: {other:?}"))),
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

pub(crate) async fn an_expiry_never_deletes_what_a_touch_just_kept(t: &mut Fixture) -> Checked {
    for round in 0..25 {
        let id = id(&format!("session-{round}"))?;
        t.create(&id, appends(["a"])).await?;
        let outcome = Arc::new(std::sync::Mutex::new(None));
        let (store, touched) = (t.store(), id.clone());
        let touch: Box<dyn FnOnce() -> Checked + Send> =
            Box::new(move || Ok(block_on(store.touch(&touched, T + 100))?));
        let (store, expired, slot) = (t.store(), id.clone(), outcome.clone());
        let expire: Box<dyn FnOnce() -> Checked + Send> = Box::new(move || {
            let outcome = block_on(store.delete(&expired, DeleteIf::IdleSince(T + 99)))?;
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(outcome);
            Ok(())
        });
        run(vec![touch, expire])?;
        let outcome = *outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (outcome, t.maybe_all(&id).await?) {
            (Some(DeleteOutcome::Deleted), None) => {}
            (Some(DeleteOutcome::Conflict { .. }), Some(loaded)) => {
                ensure_eq!(loaded.head.last_accessed_at, T + 100, "the time of a session that a touch kept");
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
