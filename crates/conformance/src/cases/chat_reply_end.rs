//! A reply ends once (C11).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, Looks, id, session};
use crate::probe::{Fault, Probe};
use crate::registry::{ManualClock, registry_on, say, settled, waits};
use crate::writing::{open, open_with, question, rest, told, written};
use durable_session::store::StoreErrorKind;
use durable_session::{ChatSession, ChatSessions, EndedReply, Error, Reply, ReplyEnd, Window};
use futures_util::FutureExt;
use futures_util::future::join;
use std::borrow::Cow;

/// The ways to end a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Finish,
    Fail,
    Stop,
}

const WAYS: [Way; 3] = [Way::Finish, Way::Fail, Way::Stop];

impl Way {
    fn how(self) -> ReplyEnd {
        match self {
            Self::Finish => ReplyEnd::Finished,
            Self::Fail => ReplyEnd::Failed,
            Self::Stop => ReplyEnd::Stopped,
        }
    }

    /// Tries to end the reply. Returns how it ended.
    async fn end(self, chat: &ChatSession, reply: &mut Reply) -> Checked<ReplyEnd> {
        let how = |result: Result<_, Error>| match result {
            Ok(_) => Ok(self.how()),
            Err(Error::ReplyEnded { how, .. }) => Ok(how),
            Err(e) => Err(Failure::from(e)),
        };
        match self {
            Self::Finish => how(settled(reply.finish()).await?),
            Self::Fail => how(settled(reply.fail("a reason")).await?),
            Self::Stop => Ok(settled(chat.stop(2)).await??.how),
        }
    }
}

pub(crate) async fn a_finished_reply_is_its_message(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["Life", "times"]).await?;
    let (count, stored) = settled(reply.finish_with(|draft| {
        draft.app_mut()?.set("answered", &true).map_err(Error::rejected)?;
        draft.add_message(say("more"))?;
        Ok(draft.message_count())
    }))
    .await??;
    ensure_eq!((count, stored.seq), (Some(3), 2), "the answer of finish_with");
    let expected = r#"{"role":"assistant","content":"Lifetimes","id":"reply-0-to-m-7"}"#;
    ensure_eq!(stored.message.as_json(), expected, "the final message");
    let other = t.registry().session(session()?);
    for chat in [&chat, &other] {
        let state = chat.get_state().await?;
        ensure_eq!(
            state.messages,
            [question(), stored.message.clone(), say("more")],
            "the messages after the end"
        );
        let answered = state.app.get::<bool>("answered").map_err(Failure::new)?;
        ensure_eq!(answered, Some(true), "the app state that was set with the end");
        ensure_eq!(chat.snapshot().await?.open_replies().count(), 0, "the number of open replies");
    }
    let loaded = t.all(chat.id()).await?;
    ensure_eq!(loaded.replies.len(), 0, "the number of stored open replies");
    Ok(())
}

pub(crate) async fn the_first_end_decides_and_the_others_are_told(t: &mut Fixture) -> Checked {
    for (n, first) in WAYS.into_iter().enumerate() {
        let chat = t.registry().session(id(&format!("first-{n}"))?);
        let mut reply = open_with(&chat, &["a"]).await?;
        let how = first.end(&chat, &mut reply).await?;
        ensure_eq!(how, first.how(), "how {first:?} ended it");
        ensure_eq!(told(settled(reply.push("b")).await?)?, how, "the answer to a push");
        for second in WAYS {
            let again = second.end(&chat, &mut reply).await?;
            // The same call again succeeds, as a retry does.
            ensure_eq!(again, how, "the answer to {second:?} after {first:?}");
        }
        drop(reply);
        let other = t.registry().session(chat.id().clone());
        ensure_eq!(settled(other.stop(2)).await??.how, how, "what another registry is told");
        ensure_eq!(written(&other).await?, "a", "the text after {first:?}");
    }
    Ok(())
}

pub(crate) async fn ends_at_once_have_one_outcome(t: &mut Fixture) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let (finished, stopped) = settled(join(reply.finish(), chat.stop(2))).await?;
    let finished = match finished {
        Ok(_) => ReplyEnd::Finished,
        Err(Error::ReplyEnded { how, .. }) => how,
        Err(e) => return Err(e.into()),
    };
    let EndedReply { how, .. } = stopped?;
    ensure_eq!(finished, how, "how finish and stop say that it ended");
    let head = t.all(chat.id()).await?.head;
    ensure_eq!(head.version.counter(), 2, "the number of commits");
    Ok(())
}

/// The end of a producer and a stop wait for the store together, in either order, through one
/// registry and through two.
pub(crate) async fn two_ends_that_meet_at_the_store_have_one_outcome(t: &mut Fixture) -> Checked {
    for way in [Way::Finish, Way::Fail] {
        for (stop_first, elsewhere) in [(false, false), (true, false), (false, true), (true, true)]
        {
            let at = format!("{way:?}, stop first: {stop_first}, elsewhere: {elsewhere}");
            let (registry, probe) = t.probed_registry();
            let other = registry_on(probe.clone(), &ManualClock::new(), |builder| builder);
            let chat = registry.session(id(&format!("meet-{way:?}-{stop_first}-{elsewhere}"))?);
            let caller = if elsewhere { other.session(chat.id().clone()) } else { chat.clone() };
            let mut reply = open_with(&chat, &["a"]).await?;
            let mut follow = chat.follow(2, 0).await?;
            caller.snapshot().await?;
            probe.hold();
            let mut end = Box::pin(async {
                match way {
                    Way::Finish => reply.finish().await.map(|stored| stored.message),
                    _ => reply.fail("a reason").await.map(|stored| stored.message),
                }
            });
            let mut stop = Box::pin(caller.stop(2));
            let mut looks = Looks::new(1_000);
            for look in 0.. {
                if stop_first {
                    waits(&mut stop)?;
                }
                waits(&mut end)?;
                if !stop_first {
                    waits(&mut stop)?;
                }
                // Both had time to come to the store.
                if !looks.next().await || look > 100 && probe.commits() > 1 {
                    break;
                }
            }
            ensure!(probe.commits() > 1, "no end came to the store, {at}");
            probe.release();
            let (ended, stopped) = settled(join(end, stop)).await?;
            let stopped = stopped?;
            let won = match ended {
                Ok(message) => {
                    ensure_eq!(stopped.how, way.how(), "what the stop is told, {at}");
                    message
                }
                Err(Error::ReplyEnded { how, .. }) => {
                    ensure_eq!((how, stopped.how), (Way::Stop.how(), how), "who won, {at}");
                    stopped.message.clone().map(|stored| stored.message).ok_or_else(|| {
                        Failure::new(format_args!("the stop returned no message, {at}"))
                    })?
                }
                Err(e) => return Err(e.into()),
            };
            let followed = ("a".to_owned(), stopped.how);
            ensure_eq!(rest(&mut follow).await?, followed, "what a follower is told, {at}");
            let loaded = t.all(chat.id()).await?;
            let commits = loaded.head.version.counter();
            ensure_eq!(commits, 2, "the number of commits: the opening and one end, {at}");
            ensure_eq!(loaded.replies.len(), 0, "the number of stored open replies, {at}");
            for chat in
                [&chat, &other.session(chat.id().clone()), &t.registry().session(chat.id().clone())]
            {
                let state = settled(chat.get_state()).await??;
                let stored = state.messages.get(1);
                ensure_eq!(stored, Some(&won), "the stored message is the winner's, {at}");
            }
        }
    }
    Ok(())
}

pub(crate) async fn a_close_has_every_chunk_that_was_shown(t: &mut Fixture) -> Checked {
    let probe = Probe::new(t.store());
    let clock = ManualClock::new();
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let other: ChatSessions = registry_on(probe.clone(), &clock, |builder| builder);
    let other = other.session(session()?);
    other.snapshot().await?;
    probe.hold();
    let mut stop = Box::pin(other.stop(2));
    let mut looks = Looks::new(10_000);
    loop {
        ensure!((&mut stop).now_or_never().is_none(), "a stop returned before its commit");
        if probe.commits() > 0 || !looks.next().await {
            break;
        }
    }
    // The message of the stop is made. It does not have this chunk.
    settled(reply.push("b")).await??;
    probe.release();
    let stopped = settled(stop).await??;
    ensure_eq!(stopped.how, ReplyEnd::Stopped, "how the reply ended");
    let text = stopped.message.and_then(|stored| stored.message.text().map(Cow::into_owned));
    ensure_eq!(text.as_deref(), Some("ab"), "the text of the stopped message");
    ensure_eq!(told(settled(reply.push("c")).await?)?, ReplyEnd::Stopped, "the answer to a push");
    ensure_eq!(written(&t.registry().session(session()?)).await?, "ab", "the stored text");
    Ok(())
}

pub(crate) async fn an_end_through_another_registry_is_told_to_the_producer(
    t: &mut Fixture,
) -> Checked {
    let chat = t.registry().session(session()?);
    let mut reply = open_with(&chat, &["a"]).await?;
    let mut follow = chat.follow(2, 0).await?;
    let other = t.registry().session(session()?);
    settled(other.stop(2)).await??;
    ensure_eq!(told(settled(reply.push("b")).await?)?, ReplyEnd::Stopped, "the answer to a push");
    ensure_eq!(settled(reply.ended()).await??.how, ReplyEnd::Stopped, "how it ended");
    let stopped = ("a".to_owned(), ReplyEnd::Stopped);
    ensure_eq!(rest(&mut follow).await?, stopped, "the chunks and the end of a follower");
    ensure_eq!(written(&chat).await?, "a", "the text of the message");
    Ok(())
}

pub(crate) async fn what_removes_the_message_ends_its_reply(t: &mut Fixture) -> Checked {
    for how in ["remove", "rewind", "reset", "delete"] {
        let chat = t.registry().session(id(how)?);
        let mut reply = open_with(&chat, &["a"]).await?;
        let mut follow = chat.follow(2, 0).await?;
        match how {
            "remove" => settled(chat.remove(2)).await??,
            "rewind" => settled(chat.rewind_to(1)).await??,
            "reset" => settled(chat.reset()).await??,
            _ => drop(settled(chat.delete()).await??),
        }
        let removed = ReplyEnd::Removed;
        ensure_eq!(told(settled(reply.push("b")).await?)?, removed, "a push after {how}");
        ensure_eq!(told(settled(reply.finish()).await?)?, removed, "a finish after {how}");
        ensure_eq!(rest(&mut follow).await?, ("a".to_owned(), removed), "a follower after {how}");
        let open = t.maybe_all(chat.id()).await?.map_or(0, |loaded| loaded.replies.len());
        ensure_eq!(open, 0, "the number of stored open replies after {how}");
    }
    Ok(())
}

pub(crate) async fn an_end_whose_outcome_is_unknown_is_made_once(t: &mut Fixture) -> Checked {
    let unknown = StoreErrorKind::OutcomeUnknown;
    for (name, fault) in
        [("not-written", Fault::Fails(unknown)), ("written", Fault::FailsAfterWriting(unknown))]
    {
        let (registry, probe) = t.probed_registry();
        let chat = registry.session(id(name)?);
        let mut reply = open_with(&chat, &["a"]).await?;
        probe.inject(fault);
        let failed = settled(reply.finish()).await?;
        ensure!(failed.is_err(), "the injected fault was hidden");
        let stored = settled(reply.finish()).await??;
        ensure_eq!(stored.message.text().as_deref(), Some("a"), "the text, {name}");
        drop(reply);
        ensure_eq!(settled(chat.stop(2)).await??.how, ReplyEnd::Finished, "how it ended, {name}");
        let head = t.all(chat.id()).await?.head;
        ensure_eq!(head.version.counter(), 2, "the number of commits, {name}");
    }
    Ok(())
}

pub(crate) async fn a_finished_message_stays_finished_after_reopening(t: &mut Fixture) -> Checked {
    {
        let chat = t.registry().session(session()?);
        let mut reply = open_with(&chat, &["a", "b"]).await?;
        settled(reply.finish()).await??;
    }
    t.reopen().await?;
    let chat = t.registry().session(session()?);
    ensure_eq!(written(&chat).await?, "ab", "the text after reopening");
    ensure_eq!(chat.snapshot().await?.open_replies().count(), 0, "the number of open replies");
    ensure_eq!(settled(chat.stop(2)).await??.how, ReplyEnd::Finished, "how it ended");
    Ok(())
}

pub(crate) async fn a_state_is_not_read_half_open_and_half_closed(t: &mut Fixture) -> Checked {
    let window = Window { messages: 1, bytes: 1 << 10 };
    let clock = ManualClock::new();
    let registry: ChatSessions = registry_on(t.store(), &clock, |builder| builder.window(window));
    let chat = registry.session(session()?);
    let mut reply = open(&chat).await?;
    settled(chat.add_messages(vec![say("more"), say("and more")])).await??;
    // Only the last message is in memory. The others are read from the store.
    let other: ChatSessions = registry_on(t.store(), &clock, |builder| builder.window(window));
    let other = other.session(session()?);
    ensure_eq!(other.snapshot().await?.open_replies().count(), 1, "the number of open replies");
    settled(reply.push("a")).await??;
    settled(reply.finish()).await??;
    let state = settled(other.get_state()).await??;
    let text = state.messages.get(1).and_then(|message| message.text().map(Cow::into_owned));
    let open = other.snapshot().await?.open_replies().count();
    let whole = (text.as_deref(), open);
    ensure!(
        whole == (Some("a"), 0) || whole == (Some(""), 1),
        "the message reads as {} bytes with {open} open replies",
        text.map_or(0, |text| text.len())
    );
    Ok(())
}
