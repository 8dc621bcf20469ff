//! Labels are set in a commit and are part of the session (S11).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, at, body, creation, id, on, range, remove, replace,
    session, set_app,
};
use crate::replying::{CLAIM, OTHER, close, counts, open};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, DeleteIf, Head, Labels, Op};

fn label(owner: &str, title: &str) -> Labels {
    Labels::owner(owner).title(title)
}

fn set(labels: &Labels) -> Op {
    Op::SetLabels(labels.clone())
}

/// Checks that load and salvage both return these labels.
async fn has(t: &Fixture, id: &SessionId, expected: &Labels, when: &str) -> Checked {
    ensure!(t.all(id).await?.labels == *expected, "load returned other labels {when}");
    let salvaged = t.store().salvage(id, range(1, 1)).await?.and_then(|salvaged| salvaged.labels);
    ensure!(salvaged.as_ref() == Some(expected), "salvage returned other labels {when}");
    Ok(())
}

pub(crate) async fn labels_are_set_at_the_creation_and_later(t: &mut Fixture) -> Checked {
    let id = session()?;
    let labels = label("u-42", "Lifetimes");
    let mut head = t.create(&id, vec![append("a"), set(&labels)]).await?;
    has(t, &id, &labels, "after the creation").await?;
    for labels in [
        label("u-42", "Borrowing"),
        label("u-43", "Borrowing"),
        Labels::owner("u-43"),
        Labels::NONE.title("only a title"),
        Labels::NONE,
        label("u-1", "again"),
    ] {
        head = t.change(&id, head, vec![set(&labels)]).await?;
        has(t, &id, &labels, "after they were set").await?;
        ensure_eq!(t.all(&id).await?.head, head, "the stored head");
    }
    let ops = vec![set(&label("first", "")), append("b"), set(&label("", "second")), set_app("{}")];
    t.change(&id, head, ops).await?;
    has(t, &id, &label("", "second"), "after they were set twice in a commit").await?;
    let loaded = t.holds(&id, &[(1, "a"), (2, "b")]).await?;
    ensure_eq!(loaded.app, body("{}"), "the app state beside labels");
    Ok(())
}

pub(crate) async fn a_session_begins_without_labels(t: &mut Fixture) -> Checked {
    let (one, two) = (id("one")?, id("two")?);
    t.create(&one, vec![append("a"), set(&label("u", "t"))]).await?;
    let head = t.create(&two, appends(["a"])).await?;
    has(t, &two, &Labels::NONE, "of a session without labels").await?;
    t.change(&two, head, vec![set(&label("v", ""))]).await?;
    has(t, &one, &label("u", "t"), "after another session's were set").await?;
    has(t, &two, &label("v", ""), "after they were set for the first time").await
}

pub(crate) async fn setting_labels_makes_a_version_and_moves_nothing_else(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), open("b", CLAIM), set_app("{}")]).await?;
    t.extended(&id, 2, CLAIM, 0, &["x"]).await?;
    let mut before = t.all(&id).await?;
    let mut expected = head;
    for (n, labels) in (1..).zip([label("u", ""), label("u", "t"), label("u", "t"), Labels::NONE]) {
        let head = t.committed(&id, at(T + 10 * n, on(before.head, vec![set(&labels)]))).await?;
        ensure!(head.version != before.head.version, "setting labels made no version");
        expected = Head { version: head.version, last_accessed_at: T + 10 * n, ..expected };
        ensure_eq!(head, expected, "the head after labels were set");
        let after = t.all(&id).await?;
        before.head = head;
        before.labels = labels;
        ensure!(after == before, "setting labels changed more of the session than them");
    }
    t.replies(&id, &[(2, CLAIM, &["x"], 0)]).await?;
    Ok(())
}

pub(crate) async fn labels_stay_until_they_are_set(t: &mut Fixture) -> Checked {
    let id = session()?;
    let labels = label("u-42", "Lifetimes");
    let mut head = t.create(&id, vec![set(&labels), append("a"), append("b")]).await?;
    let changes = [
        appends(["c"]),
        vec![replace(1, "A")],
        vec![set_app("{\"k\":1}")],
        vec![open("d", CLAIM)],
        vec![close(4, CLAIM, counts(0, 0), "D"), append("e")],
        vec![remove(2, 2)],
        Vec::new(),
        // As a reset does.
        vec![remove(0, u64::MAX), Op::SetApp(Bytes::new())],
        appends(["f"]),
    ];
    for ops in changes {
        head = t.change(&id, head, ops.clone()).await?;
        has(t, &id, &labels, &format!("after {ops:?}")).await?;
    }
    t.store().touch(&id, T + 100).await?;
    has(t, &id, &labels, "after a touch").await
}

pub(crate) async fn labels_keep_any_text(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, Vec::new()).await?;
    let texts = [
        "\0",
        "a\0b",
        "'; DROP TABLE x; --",
        "\"{}\\",
        "ünï ☃ 🦀",
        " ",
        "%_*?",
        "\u{ffff}\u{10ffff}",
    ];
    let longest_owner = "ü".repeat(Labels::MAX_OWNER_BYTES / 2);
    let longest_title = "☃!".repeat(Labels::MAX_TITLE_BYTES / 4);
    let mut all: Vec<_> = texts.iter().map(|text| label(text, &text.repeat(3))).collect();
    all.push(label(&longest_owner, &longest_title));
    for labels in all {
        head = t.change(&id, head, vec![set(&labels), set_app("app")]).await?;
        has(t, &id, &labels, &format!("after {labels:?} were set")).await?;
        ensure_eq!(t.all(&id).await?.app, body("app"), "the app state beside {labels:?}");
    }
    Ok(())
}

pub(crate) async fn labels_and_formats_have_limits(t: &mut Fixture) -> Checked {
    use crate::replying::claim;
    use durable_session::store::{NewMessage, ReplyOpening, StoreErrorKind};

    let id = session()?;
    let text = |bytes: usize| "x".repeat(bytes);
    let opens = |format: &str| {
        Op::Append(NewMessage::plain(body("b")).opening(ReplyOpening::new(claim(1), format)))
    };
    let absent = crate::fixture::id("absent")?;
    let head = t.create(&id, vec![append("a"), set(&label("u", "t"))]).await?;
    for (subject, op) in [
        ("an owner", set(&Labels::owner(text(Labels::MAX_OWNER_BYTES + 1)))),
        // Bytes are counted, not characters.
        ("an owner", set(&Labels::owner("ü".repeat(Labels::MAX_OWNER_BYTES / 2 + 1)))),
        ("a title", set(&Labels::NONE.title(text(Labels::MAX_TITLE_BYTES + 1)))),
        ("a format's name", opens(&text(ReplyOpening::MAX_FORMAT_BYTES + 1))),
    ] {
        let commits = [
            (&id, on(head, vec![append("c"), op.clone()])),
            (&id, on(head, vec![op.clone()])),
            (&absent, creation(vec![append("c"), op])),
        ];
        for (id, commit) in commits {
            let before = t.everything(id).await?;
            let Err(error) = t.store().commit(id, commit).await else {
                return Err(crate::Failure::new(format_args!(
                    "{subject} over the limit was accepted"
                )));
            };
            ensure_eq!(
                error.kind(),
                StoreErrorKind::TooLarge,
                "the error for {subject} over the limit"
            );
            ensure!(
                t.everything(id).await? == before,
                "{subject} over the limit changed the session"
            );
        }
    }
    let ops = vec![
        set(&label(&text(Labels::MAX_OWNER_BYTES), &text(Labels::MAX_TITLE_BYTES))),
        opens(&text(ReplyOpening::MAX_FORMAT_BYTES)),
    ];
    t.change(&id, head, ops).await?;
    ensure_eq!(t.all(&id).await?.replies.len(), 1, "the replies with the longest format's name");
    Ok(())
}

pub(crate) async fn a_refused_commit_sets_no_labels(t: &mut Fixture) -> Checked {
    let id = session()?;
    let labels = label("u", "t");
    let head = t.create(&id, vec![append("a"), set(&labels)]).await?;
    let other = set(&label("x", "x"));
    let missing = on(head, vec![other.clone(), replace(9, "x")]);
    let ended = on(head, vec![other.clone(), close(1, OTHER, counts(0, 0), "x")]);
    let again = creation(vec![other.clone()]);
    for commit in [missing, ended, again] {
        let outcome = t.store().commit(&id, commit).await?;
        ensure!(!matches!(outcome, CommitOutcome::Committed(_)), "a commit was not refused");
        has(t, &id, &labels, "after a refused commit").await?;
    }
    ensure_eq!(t.all(&id).await?.head, head, "the head after refused commits");
    Ok(())
}

pub(crate) async fn deleting_a_session_deletes_its_labels(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), set(&label("u", "t"))]).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    ensure!(
        t.store().salvage(&id, range(0, u64::MAX)).await?.is_none(),
        "labels of a deleted session"
    );
    t.create(&id, appends(["b"])).await?;
    has(t, &id, &Labels::NONE, "of a session created again after a delete").await
}

pub(crate) async fn labels_survive_reopening(t: &mut Fixture) -> Checked {
    let (one, two, three) = (id("one")?, id("two")?, id("three")?);
    let (first, second) = (label("u", "t"), label("v", "t\0"));
    let head = t.create(&one, vec![append("a"), set(&label("x", "y"))]).await?;
    t.change(&one, head, vec![set(&first)]).await?;
    t.create(&two, vec![set(&second)]).await?;
    let head = t.create(&three, vec![append("a"), set(&second)]).await?;
    let head = t.change(&three, head, vec![set(&Labels::NONE)]).await?;
    for _ in 0..2 {
        t.reopen().await?;
        has(t, &one, &first, "after reopening").await?;
        has(t, &two, &second, "after reopening").await?;
        has(t, &three, &Labels::NONE, "after reopening").await?;
        ensure_eq!(t.all(&three).await?.head, head, "the head after reopening");
    }
    t.change(&three, head, appends(["b"])).await?;
    t.reopen().await?;
    has(t, &three, &Labels::NONE, "after an append and reopening").await
}

pub(crate) async fn a_crash_keeps_acknowledged_labels(t: &mut Fixture) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), set(&label("u", "0"))]).await?;
    t.crash_and_reopen().await?;
    has(t, &id, &label("u", "0"), "after a crash").await?;
    for n in 1..=4 {
        let labels = label("u", &n.to_string());
        let ops = if n % 2 == 0 {
            vec![set(&labels)]
        } else {
            vec![append("b"), set(&labels), set_app("x")]
        };
        head = t.change(&id, head, ops).await?;
        t.crash_and_reopen().await?;
        has(t, &id, &labels, "after a crash").await?;
        ensure_eq!(t.all(&id).await?.head, head, "the head after a crash");
    }
    Ok(())
}
