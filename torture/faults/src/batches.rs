//! Entry 7: errors of `add_messages` that are not true.

use crate::report::Report;
use anyhow::Result;
use durable_session::{ChatSession, ChatSessions, JsonObject, Message, SessionId};
use durable_session_memory::MemoryStore;

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).build();
    let known = |n: usize| Message::user(format!("known {n}")).with_id(format!("known-{n}"));
    let new = |n: usize| Message::user(format!("new {n}")).with_id(format!("new-{n}"));
    let other = Message::user("something else").with_id("known-1");

    // Each batch with whether a message of it does say something else than the one of its id.
    let batches: [(&str, Vec<Message>, bool); 7] = [
        ("[known, new]", vec![known(1), new(1)], false),
        ("[new, known]", vec![new(1), known(1)], false),
        ("[known, known, new]", vec![known(1), known(2), new(1)], false),
        ("[known, a message without id]", vec![known(2), Message::user("no id")], false),
        ("two equal new ones", vec![new(2), new(2)], false),
        ("two equal new ones after another", vec![new(3), new(4), new(4)], false),
        ("[known with other content]", vec![other], true),
    ];
    for (name, batch, differs) in batches {
        let chat = sessions.session(SessionId::generate()?);
        chat.add_messages(vec![known(1), known(2)]).await?;
        let (right, seen) = judge(&chat, batch, differs).await?;
        report.say("7", format!("add_messages {name}"), right, seen);
    }
    Ok(())
}

async fn judge(chat: &ChatSession, batch: Vec<Message>, differs: bool) -> Result<(bool, String)> {
    let count = chat.snapshot().await?.message_count();
    let ids: std::collections::HashSet<_> =
        batch.iter().filter_map(|m| m.id().map(String::from)).collect();
    match chat.add_messages(batch).await {
        Ok(added) => {
            let now = chat.snapshot().await?.message_count();
            let there = added.iter().all(|added| added.seq <= now);
            Ok((
                !differs && there,
                format!("Ok, {} answered, {count} -> {now} messages", added.len()),
            ))
        }
        Err(error) => {
            let text = error.to_string();
            // Session ids hold digits, too.
            let told = text.replace(chat.id().as_str(), "");
            let claims_other = ["something else", "other content", "different content"]
                .iter()
                .any(|claim| told.contains(claim));
            let seqs = numbers_after(&told, "seq ");
            let cites_absent = seqs.iter().any(|&seq| seq == 0 || seq > count);
            let unchanged = chat.snapshot().await?.message_count() == count;
            Ok((
                unchanged && claims_other == differs && !cites_absent,
                format!("{} ids, {count} messages: {told}", ids.len()),
            ))
        }
    }
}

fn numbers_after(text: &str, word: &str) -> Vec<u64> {
    let rests = text.match_indices(word).map(|(at, _)| &text[at + word.len()..]);
    rests
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok())
        })
        .collect()
}
