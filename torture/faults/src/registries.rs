//! Entry 8b: two registries over one store. Staleness is the contract of today; that `Debug` and
//! the documentation say so is checked here and by the script.

use crate::report::Report;
use anyhow::Result;
use durable_session::{ChatSessions, JsonObject, Message, SessionId};
use durable_session_memory::MemoryStore;

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let store = MemoryStore::new();
    let one = ChatSessions::<JsonObject>::builder(store.clone()).build();
    let two = ChatSessions::<JsonObject>::builder(store).build();
    let id = SessionId::generate()?;
    let (writer, reader) = (one.session(id.clone()), two.session(id));
    reader.snapshot().await?;
    writer.add_message(Message::user("hello")).await?;
    let seen = reader.snapshot().await?.message_count();
    let told = format!("{two:?}");
    let says = [
        "stale",
        "shared",
        "other registr",
        "second registr",
        "only registry",
        "another ChatSessions",
    ];
    let right = seen == 1 || says.iter().any(|word| told.contains(word));
    report.say(
        "8b",
        "Debug of a registry that reads stale",
        right,
        format!("1 stored, {seen} read; {told}"),
    );
    Ok(())
}
