//! One order of commits, seqs that are never reused, times that never move backwards (S2).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, body, creation, id, on, range, remove, replace, session,
    set_app,
};
use durable_session::store::{Commit, CommitOutcome, Expect, LoadOutcome, Op};
use futures_util::future::join_all;

pub(crate) async fn appends_get_the_next_seqs_from_1(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a"])).await?;
    ensure_eq!(head.next_seq, 2, "next_seq after the first message");
    let head = t.change(&id, head, appends(["b", "c", "d"])).await?;
    ensure_eq!(head.next_seq, 5, "next_seq after four messages");
    let head = t.change(&id, head, vec![set_app("{}")]).await?;
    t.change(&id, head, appends(["e"])).await?;
    t.holds(&id, &[(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]).await?;
    Ok(())
}

pub(crate) async fn a_session_may_begin_without_messages(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, Vec::new()).await?;
    ensure_eq!(
        (head.next_seq, head.messages, head.bytes),
        (1, 0, 0),
        "the head of a session without messages"
    );
    t.holds(&id, &[]).await?;
    t.change(&id, head, appends(["a"])).await?;
    t.holds(&id, &[(1, "a")]).await?;
    Ok(())
}

pub(crate) async fn a_removed_seq_is_never_used_again(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c"])).await?;
    let head = t.change(&id, head, vec![remove(3, 3)]).await?;
    let head = t.change(&id, head, appends(["d"])).await?;
    t.holds(&id, &[(1, "a"), (2, "b"), (4, "d")]).await?;
    let head = t.change(&id, head, vec![remove(1, 4)]).await?;
    ensure_eq!(
        (head.next_seq, head.messages, head.bytes),
        (5, 0, 0),
        "the head after removing all"
    );
    let head = t.change(&id, head, appends(["e"])).await?;
    t.holds(&id, &[(5, "e")]).await?;
    t.change(&id, head, vec![append("f"), remove(6, 6), append("g")]).await?;
    t.holds(&id, &[(5, "e"), (7, "g")]).await?;
    Ok(())
}

pub(crate) async fn a_removed_seq_is_not_used_again_after_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b"])).await?;
    let head = t.change(&id, head, vec![remove(2, 2)]).await?;
    t.reopen().await?;
    let head = t.change(&id, head, appends(["c"])).await?;
    t.holds(&id, &[(1, "a"), (3, "c")]).await?;
    let head = t.change(&id, head, vec![remove(1, 3)]).await?;
    t.reopen().await?;
    t.change(&id, head, appends(["d"])).await?;
    t.holds(&id, &[(4, "d")]).await?;
    Ok(())
}

pub(crate) async fn a_replaced_message_keeps_its_place(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c"])).await?;
    let head = t.change(&id, head, vec![replace(2, "a longer one")]).await?;
    ensure_eq!(head.next_seq, 4, "next_seq after a replacement");
    t.holds(&id, &[(1, "a"), (2, "a longer one"), (3, "c")]).await?;
    let head = t.change(&id, head, vec![replace(3, ""), replace(1, "A")]).await?;
    t.change(&id, head, appends(["d"])).await?;
    t.holds(&id, &[(1, "A"), (2, "a longer one"), (3, ""), (4, "d")]).await?;
    Ok(())
}

pub(crate) async fn a_removal_removes_the_messages_in_its_range(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c", "d", "e", "f"])).await?;
    let head = t.change(&id, head, vec![remove(2, 3)]).await?;
    t.holds(&id, &[(1, "a"), (4, "d"), (5, "e"), (6, "f")]).await?;
    let head = t.change(&id, head, vec![remove(3, 4), remove(2, 2), remove(9, 8)]).await?;
    t.holds(&id, &[(1, "a"), (5, "e"), (6, "f")]).await?;
    let head = t.change(&id, head, vec![remove(6, u64::MAX)]).await?;
    t.holds(&id, &[(1, "a"), (5, "e")]).await?;
    let head = t.change(&id, head, vec![remove(0, 1)]).await?;
    t.holds(&id, &[(5, "e")]).await?;
    t.change(&id, head, vec![remove(0, u64::MAX), append("g")]).await?;
    t.holds(&id, &[(7, "g")]).await?;
    Ok(())
}

pub(crate) async fn times_never_move_backwards(t: &mut Fixture) -> Checked {
    let id = session()?;
    let commit = |expect, at| Commit::new(expect, vec![append("a")], at);
    let head = t.committed(&id, commit(Expect::absent(T), T + 10)).await?;
    ensure_eq!((head.created_at, head.last_accessed_at), (T, T + 10), "the times of a new session");
    let head = t.committed(&id, commit(head.expect(), T + 500)).await?;
    ensure_eq!(
        (head.created_at, head.last_accessed_at),
        (T, T + 500),
        "the times after a later commit"
    );
    let head = t.committed(&id, commit(head.expect(), T + 20)).await?;
    ensure_eq!(
        (head.created_at, head.last_accessed_at),
        (T, T + 500),
        "the times after a clock moved back"
    );
    let set = Commit::new(head.expect(), vec![set_app("{}")], 0);
    let head = t.committed(&id, set).await?;
    ensure_eq!(
        (head.created_at, head.last_accessed_at),
        (T, T + 500),
        "the times after a clock was unset"
    );
    ensure_eq!(t.all(&id).await?.head, head, "the stored head");
    Ok(())
}

pub(crate) async fn a_read_sees_every_commit_that_returned(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, Vec::new()).await?;
    for n in 1..=30_u64 {
        let ops = vec![append(&n.to_string()), set_app(&n.to_string())];
        head = t.change(&id, head, ops).await?;
        let loaded = t.all(&id).await?;
        ensure_eq!(
            (loaded.tail.len() as u64, loaded.app),
            (n, body(&n.to_string())),
            "load after commit {n}"
        );
        let page = t.page(&id, range(n, n)).await?;
        ensure_eq!(page.rows.len(), 1, "the last message read after commit {n}");
        ensure_eq!(page.head, head, "the head read after commit {n}");
    }
    Ok(())
}

pub(crate) async fn concurrent_creations_make_one_session(t: &mut Fixture) -> Checked {
    let (id, store) = (session()?, t.store());
    let names: Vec<_> = (0..8).map(|n| n.to_string()).collect();
    let outcomes =
        join_all(names.iter().map(|name| store.commit(&id, creation(vec![append(name)])))).await;
    let mut winner = None;
    let mut losers = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome? {
            CommitOutcome::Committed(head) => {
                ensure!(winner.is_none(), "two concurrent creations of one session succeeded");
                winner = Some((name, head));
            }
            other => losers.push(other),
        }
    }
    let Some((name, head)) = winner else {
        return Err(crate::Failure::new("no creation of the session succeeded"));
    };
    for outcome in losers {
        ensure_eq!(
            outcome,
            CommitOutcome::Conflict { current: Some(head.version) },
            "a creation after another one succeeded"
        );
    }
    t.holds(&id, &[(1, name)]).await?;
    Ok(())
}

pub(crate) async fn one_of_concurrent_commits_on_a_version_succeeds(t: &mut Fixture) -> Checked {
    let (id, store) = (session()?, t.store());
    let mut head = t.create(&id, Vec::new()).await?;
    for round in 1..=10 {
        let commits = (0..6).map(|n| {
            let ops: Vec<Op> = vec![append(&format!("{round}-{n}"))];
            store.commit(&id, on(head, ops))
        });
        let mut won = Vec::new();
        for outcome in join_all(commits).await {
            if let CommitOutcome::Committed(head) = outcome? {
                won.push(head);
            }
        }
        ensure_eq!(won.len(), 1, "the number of commits on one version that succeeded");
        head = won[0];
        ensure_eq!(
            (head.messages, head.next_seq),
            (round, round + 1),
            "the head after round {round}"
        );
    }
    ensure_eq!(t.all(&id).await?.head, head, "the stored head");
    Ok(())
}

pub(crate) async fn a_page_and_its_head_are_of_one_moment(t: &mut Fixture) -> Checked {
    let (id, store) = (id("viewed")?, t.store());
    let mut head = t.create(&id, appends(["0"])).await?;
    for n in 1..=30_u64 {
        let change = store.commit(&id, on(head, vec![append("x"), set_app(&n.to_string())]));
        let load = store.load(&id, crate::fixture::WHOLE);
        let (read, change, load) =
            futures_util::future::join3(store.read(&id, range(1, u64::MAX)), change, load).await;
        let CommitOutcome::Committed(after) = change? else {
            return Err(crate::Failure::new("a valid commit was refused"));
        };
        let (Some(page), LoadOutcome::Loaded(loaded)) = (read?, load?) else {
            return Err(crate::Failure::new("a session vanished while it was changed"));
        };
        ensure_eq!(
            page.rows.len() as u64,
            page.head.messages,
            "messages of a page and of its head"
        );
        ensure_eq!(
            loaded.tail.len() as u64,
            loaded.head.messages,
            "messages of a load and of its head"
        );
        let app = if loaded.head.version == after.version { n } else { n - 1 };
        let app = if app == 0 { body("") } else { body(&app.to_string()) };
        ensure_eq!(loaded.app, app, "the app state and the head of a load");
        head = after;
    }
    Ok(())
}
