//! Entries 8c and 8f: errors that hold a capability or a person's words, and chains that repeat
//! themselves.

use crate::importing;
use crate::report::Report;
use anyhow::{Context, Result, bail};
use durable_session::store::{StoreError, StoreErrorKind};
use durable_session::{ChatSessions, JsonObject, Limits, Message, SessionId, transfer};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use serde::{Deserialize, Serialize};
use std::error::Error;

/// The text that must be in no log.
const CAPABILITY: &str = "secret-capability-7f3a";
const WORDS: &str = "my secret diagnosis";

#[derive(Clone, Default, Serialize, Deserialize)]
struct Count {
    value: u32,
}

#[derive(Clone, Default, Serialize, Deserialize)]
enum Step {
    #[default]
    First,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Steps {
    value: Step,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Closed {
    count: u32,
}

type Seen = (String, Box<dyn Error + Send + Sync>);

pub(crate) async fn play(report: &mut Report, only: Option<&str>) -> Result<()> {
    let errors = errors().await?;
    for (name, error) in &errors {
        if only != Some("8f") {
            let (found, text) = leaks(&**error);
            report.say("8c", name, found.is_empty(), if found.is_empty() { text } else { found });
        }
        if only != Some("8c") {
            let chain: Vec<_> = chain(&**error).map(ToString::to_string).collect();
            let repeats = chain.windows(2).any(|pair| pair[0].contains(&pair[1]));
            report.say("8f", format!("chain of: {name}"), !repeats, chain.join(" / "));
        }
    }
    if only != Some("8f") {
        let told = format!("{:?}", SessionId::new(CAPABILITY)?);
        report.say("8c", "Debug of a session id", !told.contains(CAPABILITY), told);
    }
    Ok(())
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Where the secrets were found, and the text of the error.
fn leaks(error: &(dyn Error + 'static)) -> (String, String) {
    let mut found = Vec::new();
    for (depth, error) in chain(error).enumerate() {
        for (form, text) in [("{}", error.to_string()), ("{:?}", format!("{error:?}"))] {
            for (what, secret) in [("capability", CAPABILITY), ("words", WORDS)] {
                if text.contains(secret) {
                    found.push(format!("{what} in {form} at depth {depth}: {text}"));
                }
            }
        }
    }
    (found.join(" | "), error.to_string())
}

/// The errors of calls that fail, each with the name of the call.
async fn errors() -> Result<Vec<Seen>> {
    let store = MemoryStore::new();
    let id = SessionId::new(CAPABILITY)?;
    let any = ChatSessions::<JsonObject>::builder(store.clone()).build();
    let chat = any.session(id.clone());
    chat.add_message(Message::user(WORDS).with_id("m-1")).await?;
    let named = |field: &str, value: &str| {
        let (field, value) = (field.to_owned(), value.to_owned());
        move |app: &mut JsonObject| app.set(&field, &value).map(drop)
    };
    chat.update(named("value", WORDS)).await??;

    let mut errors: Vec<Seen> = Vec::new();
    macro_rules! fails {
        ($name:expr, $call:expr) => {
            match $call {
                Ok(_) => bail!("{} did not fail", $name),
                Err(error) => errors.push(($name.into(), Box::new(error))),
            }
        };
    }
    let counts = ChatSessions::<Count>::builder(store.clone()).build().session(id.clone());
    fails!("get_state of a text where u32 is expected", counts.get_state().await);
    fails!("update of a text where u32 is expected", counts.update(|app| app.value += 1).await);
    let steps = ChatSessions::<Steps>::builder(store.clone()).build().session(id.clone());
    fails!("get_state of a text where a variant is expected", steps.get_state().await);
    chat.update(named(WORDS, "x")).await??;
    let closed = ChatSessions::<Closed>::builder(store.clone()).build().session(id.clone());
    fails!("get_state of a field that is not expected", closed.get_state().await);

    fails!("an id used twice", chat.add_message(Message::user("other").with_id("m-1")).await);
    fails!("replace of no message", chat.replace(99, Message::user(WORDS)).await);
    let limits = Limits { message_bytes: 10, ..Limits::default() };
    let small = ChatSessions::<JsonObject>::builder(store.clone()).limits(limits).build();
    fails!(
        "a message beyond a limit",
        small.session(id.clone()).add_message(Message::user(WORDS)).await
    );
    fails!(
        "a message that is none",
        Message::from_json(format!("{{\"role\":{WORDS:?},\"content\":[}}"))
    );
    fails!("a message that is a text", Message::from_json(format!("{WORDS:?}")));
    let ended = ChatSessions::<JsonObject>::builder(store.clone()).build();
    ended.close().await?;
    fails!(
        "sessions that are closed",
        ended.session(id.clone()).add_message(Message::user("x")).await
    );

    let store_error = StoreError::new(StoreErrorKind::Corrupt, "the row's checksum does not match");
    fails!("a store's error", Err::<(), _>(store_error.in_session(&id).at_seq(7)));
    let line = transfer::export(&store, &id).await?.context("nothing to export")?;
    let twisted = line.replace("\"messages\":[", &format!("\"messages\":[{WORDS:?},"));
    fails!(
        "import of a line that is none",
        importing::with_defaults(&MemoryStore::new(), &twisted).await
    );
    let other = line.replace("m-1", "m-2");
    fails!("import over another conversation", importing::with_defaults(&store, &other).await);
    fails!("an id that is none", SessionId::new(format!("{CAPABILITY}/{WORDS}")));

    let folder = tempfile::tempdir()?;
    let foreign = folder.path().join("foreign.redb");
    std::fs::write(&foreign, [b'x'; 8192])?;
    fails!("opening a foreign file", RedbStore::open(&foreign));
    fails!("opening below a file", RedbStore::open(foreign.join("below.redb")));
    Ok(errors)
}
