//! Replies are written and followed (C11).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, session};
use crate::probe::Fault;
use crate::registry::{ManualClock, registry_on, say, settled};
use crate::writing::{ask, next, open, open_with, question, rest, written};
use crate::{Failure, dropped};
use durable_session::store::StoreErrorKind;
use durable_session::{Error, Limits, Message, MessageQuery, NewReply, Opened, ReplyEnd};

pub(crate) async fn a_chunk_is_durable_before_it_is_shown(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let mut follow = chat.follow(2, 0).await?;
    ensure_eq!(next(&mut follow).await?.ok(), Some((0, "a".to_owned())), "the first chunk");
    probe.hold_extensions();
    {
        let mut push = Box::pin(reply.push("b"));
        crate::registry::waits(&mut push)?;
        for _ in 0..10 {
            let shown = dropped::polled_once(follow.next());
            ensure!(shown.is_none(), "a chunk was shown before it was durable");
        }
        probe.release();
        settled(push).await??;
    }
    // The store has it, and not only this registry.
    let other = t.registry().session(session()?);
    let mut stored = other.follow(2, 0).await?;
    for (at, text) in [(0, "a"), (1, "b")] {
        let chunk = next(&mut stored).await?.ok();
        ensure_eq!(chunk, Some((at, text.to_owned())), "a chunk that another registry reads");
    }
    ensure_eq!(next(&mut follow).await?.ok(), Some((1, "b".to_owned())), "the second chunk");
    Ok(())
}

pub(crate) async fn followers_get_each_chunk_once_from_their_offset_on(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open(&chat).await?;
    let mut first = chat.follow(2, 0).await?;
    for text in ["a", "b", "c", "d"] {
        settled(reply.push(text)).await??;
    }
    let mut later = chat.follow(2, 2).await?;
    ensure_eq!(next(&mut first).await?.ok(), Some((0, "a".to_owned())), "the first chunk");
    for text in ["e", "f"] {
        settled(reply.push(text)).await??;
    }
    let message = settled(reply.finish()).await??.message;
    ensure_eq!(message.text().as_deref(), Some("abcdef"), "the final message");
    let finished = ReplyEnd::Finished;
    ensure_eq!(
        rest(&mut first).await?,
        ("bcdef".to_owned(), finished),
        "the chunks after the first"
    );
    ensure_eq!(rest(&mut later).await?, ("cdef".to_owned(), finished), "the chunks from 2 on");
    let mut after = chat.follow(2, 0).await?;
    ensure_eq!(rest(&mut after).await?, (String::new(), finished), "the chunks after the end");
    Ok(())
}

pub(crate) async fn a_follower_of_another_registry_gets_the_same_chunks(
    t: &mut Fixture,
) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a", "b", "c"]).await?;
    let other = t.registry().session(session()?);
    let mut follow = other.follow(2, 1).await?;
    for expected in [(1, "b"), (2, "c")] {
        let expected = (expected.0, expected.1.to_owned());
        ensure_eq!(next(&mut follow).await?.ok(), Some(expected), "a stored chunk");
    }
    settled(reply.push("d")).await??;
    ensure_eq!(next(&mut follow).await?.ok(), Some((3, "d".to_owned())), "a new chunk");
    settled(reply.finish()).await??;
    ensure_eq!(rest(&mut follow).await?.1, ReplyEnd::Finished, "how the reply ended");
    ensure_eq!(written(&other).await?, "abcd", "the text that the other registry reads");
    Ok(())
}

pub(crate) async fn a_follower_that_leaves_stops_nothing(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let mut leaves = chat.follow(2, 0).await?;
    let mut stays = chat.follow(2, 0).await?;
    next(&mut leaves).await?.map_err(|_| Failure::new("the reply has ended"))?;
    drop(dropped::polled_once(leaves.next()));
    drop(leaves);
    settled(reply.push("b")).await??;
    settled(reply.finish()).await??;
    ensure_eq!(rest(&mut stays).await?.0, "ab", "the chunks of the follower that stays");
    Ok(())
}

pub(crate) async fn a_chunk_makes_no_version_and_disturbs_no_change(t: &mut Fixture) -> Checked {
    let (registry, probe) = t.probed_registry();
    let chat = registry.session(session()?);
    let mut reply = open(&chat).await?;
    let before = t.all(chat.id()).await?.head;
    let commits = probe.commits();
    for text in ["a", "b"] {
        settled(reply.push(text)).await??;
    }
    settled(reply.beat()).await??;
    ensure_eq!(t.all(chat.id()).await?.head, before, "the head after chunks and a beat");
    settled(chat.add_message(say("beside"))).await??;
    settled(reply.push("c")).await??;
    settled(reply.finish()).await??;
    ensure_eq!(probe.commits() - commits, 2, "the number of commits");
    ensure_eq!(registry.stats().conflicts, 0, "the number of conflicts");
    let head = t.all(chat.id()).await?.head;
    ensure_eq!(head.base, before.base, "the base after appends and a close");
    ensure!(head.closed != before.closed, "the close moved no `closed`");
    ensure_eq!(written(&chat).await?, "abc", "the text of the message");
    Ok(())
}

pub(crate) async fn an_open_message_reads_as_it_was_opened(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let reply = open_with(&chat, &["a", "b"]).await?;
    let other = t.registry().session(session()?);
    for chat in [&chat, &other] {
        let state = chat.get_state().await?;
        ensure_eq!(state.messages, [question(), reply.message().clone()], "the messages");
        let page = chat.messages(MessageQuery::at(2)).await?;
        ensure_eq!(page.messages.len(), 1, "the number of messages at the seq of the reply");
        ensure_eq!(&page.messages[0].message, reply.message(), "the open message in a page");
        let snapshot = chat.snapshot().await?;
        ensure_eq!(snapshot.open_replies().collect::<Vec<_>>(), [2], "the open replies");
        ensure_eq!(snapshot.message_count(), 2, "the number of messages");
    }
    Ok(())
}

pub(crate) async fn what_changes_an_open_message_is_refused(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let opened = reply.message().clone();
    let refused = |result: Result<(), Error>, subject: &str| {
        ensure!(
            matches!(result, Err(Error::ReplyOpen { seq: 2, .. })),
            "{subject} was not refused"
        );
        Ok::<(), Failure>(())
    };
    refused(chat.replace(2, Message::assistant("x")).await, "replacing an open message")?;
    for (list, subject) in [
        (vec![question()], "a list without the open message"),
        (vec![question(), Message::assistant("x")], "a list with another message"),
        (vec![say("new"), question(), opened.clone()], "a list with an insertion before it"),
    ] {
        refused(chat.turn(|draft| draft.set_messages(&list)).await, subject)?;
    }
    let list = [question(), opened, say("more")];
    settled(chat.turn(|draft| draft.set_messages(&list))).await??;
    ensure_eq!(chat.snapshot().await?.open_replies().count(), 1, "the number of open replies");
    settled(reply.push("b")).await??;
    settled(reply.finish()).await??;
    ensure_eq!(written(&chat).await?, "ab", "the text of the message");
    Ok(())
}

pub(crate) async fn a_retry_of_a_reply_produces_nothing(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let other = t.registry().session(session()?);
    for chat in [&chat, &other] {
        match settled(ask(chat)).await?? {
            Opened::Running(follow) => ensure_eq!(follow.seq(), 2, "the seq of the running reply"),
            _ => return Err(Failure::new("a retry did not find the running reply")),
        }
    }
    settled(reply.push("b")).await??;
    let finished = settled(reply.finish()).await??;
    let third = t.registry().session(session()?);
    for chat in [&chat, &third] {
        match settled(ask(chat)).await?? {
            Opened::Ended(stored) => ensure_eq!(stored, finished, "the message of the reply"),
            _ => return Err(Failure::new("a retry did not find the ended reply")),
        }
    }
    ensure_eq!(t.all(chat.id()).await?.head.messages, 2, "the number of messages");
    // Another try is another reply.
    let again = chat.reply(|draft| {
        draft.rewind_to(1)?;
        Ok(NewReply::new(Message::assistant("")).attempt(1))
    });
    let Opened::New(second) = settled(again).await?? else {
        return Err(Failure::new("another try was not a new reply"));
    };
    ensure_eq!(second.seq(), 3, "the seq of the second try");
    Ok(())
}

pub(crate) async fn an_unknown_outcome_neither_loses_nor_doubles_a_chunk(
    t: &mut Fixture,
) -> Checked {
    let unknown = StoreErrorKind::OutcomeUnknown;
    for (name, fault) in
        [("not-written", Fault::Fails(unknown)), ("written", Fault::FailsAfterWriting(unknown))]
    {
        let (registry, probe) = t.probed_registry();
        let chat = registry.session(crate::fixture::id(name)?);
        let mut reply = open_with(&chat, &["a"]).await?;
        let mut follow = chat.follow(2, 0).await?;
        probe.inject_into_extension(fault);
        let error = settled(reply.push("b")).await?;
        ensure!(error.is_err_and(|e| e.outcome_unknown()), "the injected fault was hidden");
        settled(reply.push("c")).await??;
        settled(reply.finish()).await??;
        ensure_eq!(written(&chat).await?, "abc", "the text, if the chunk was {name}");
        ensure_eq!(rest(&mut follow).await?.0, "abc", "the chunks, if one was {name}");
        let other = t.registry().session(crate::fixture::id(name)?);
        ensure_eq!(written(&other).await?, "abc", "the stored text, if the chunk was {name}");
    }
    Ok(())
}

pub(crate) async fn a_chunk_beyond_a_limit_is_refused_before_it_is_shown(
    t: &mut Fixture,
) -> Checked {
    let limits = Limits { message_bytes: 2_000, ..Limits::default() };
    let clock = ManualClock::new();
    let registry = registry_on(t.store(), &clock, |builder| builder.limits(limits));
    let chat = registry.session(session()?);
    let long = "x".repeat(700);
    let mut reply = open_with(&chat, &[&long]).await?;
    let refused = settled(reply.push(&long)).await?;
    ensure!(matches!(refused, Err(Error::TooLarge { .. })), "a chunk over the limit was taken");
    settled(reply.push("y")).await??;
    let message = settled(reply.fail("a reason")).await??.message;
    ensure!(message.bytes() <= 2_000, "the message is {} bytes", message.bytes());
    ensure_eq!(written(&chat).await?, format!("{long}y"), "the text of the message");
    Ok(())
}

pub(crate) async fn a_message_may_be_opened_again(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a", "b"]).await?;
    let first = settled(reply.finish()).await??.message;
    let again = chat.reply(|_| Ok(NewReply::reopening(2, first.clone())));
    let Opened::New(mut second) = settled(again).await?? else {
        return Err(Failure::new("a complete message was not opened again"));
    };
    settled(second.push("c")).await??;
    let other = t.registry().session(session()?);
    let mut follow = other.follow(2, 0).await?;
    ensure_eq!(next(&mut follow).await?.ok(), Some((0, "c".to_owned())), "the first new chunk");
    settled(second.finish()).await??;
    ensure_eq!(written(&chat).await?, "abc", "the text of the message");
    let stored = t.all(chat.id()).await?;
    ensure_eq!(stored.replies.len(), 0, "the number of open replies");
    Ok(())
}
