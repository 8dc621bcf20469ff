//! `verify`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::Store;
use crate::progress::bar;
use crate::{text, walk};
use durable_session::SessionId;
use durable_session::store::{ListQuery, ReadQuery, SessionStore, StoreError};
use futures_executor::block_on;
use indicatif::ProgressBar;
use serde_json::json;
use std::ops::ControlFlow;

/// What was found.
#[derive(Default)]
struct Found {
    sessions: u64,
    messages: u64,
    bytes: u64,
    damage: Vec<StoreError>,
}

pub(super) fn run(args: &Args) -> Result {
    let store = args.reading()?;
    let progress = bar("messages", matches!(store, Store::Redb(_)).then_some(0));
    let found = match &store {
        Store::Redb(store) => {
            let shown = progress.clone();
            let verification = block_on(store.verify(move |verified| {
                shown.set_length(verified.total);
                shown.set_position(verified.done);
            }))?;
            Found {
                sessions: verification.sessions,
                messages: verification.messages,
                bytes: verification.bytes,
                damage: verification.damage,
            }
        }
        Store::Postgres(_) => read_all(&store, &progress)?,
    };
    progress.finish_and_clear();
    let mut output = Output::new(args.json);
    for error in &found.damage {
        let text = text::corrupt(error.session(), error.seq(), error);
        let session = error.session().map(SessionId::as_str);
        let error_text = error.to_string();
        output
            .say(&text, &json!({ "corrupt": session, "seq": error.seq(), "error": error_text }))?;
    }
    let Found { sessions, messages, bytes, damage } = found;
    output.say(
        &format!(
            "verified sessions={sessions} messages={messages} bytes={bytes} damaged={}",
            damage.len()
        ),
        &json!({
            "sessions": sessions,
            "messages": messages,
            "bytes": bytes,
            "damaged": damage.len(),
        }),
    )?;
    // A damaged file is one of the findings.
    drop(store);
    Ok(Exit::incomplete_if(!damage.is_empty()))
}

/// Reads every row, with the checks that each read makes, and compares the counts of the heads.
fn read_all(store: &Store, progress: &ProgressBar) -> Result<Found> {
    let list = store.list();
    let mut found = Found::default();
    walk::pages(&*list, ListQuery::all(walk::PAGE), |page| {
        for listed in page {
            found.sessions += 1;
            read(&*list, &listed.id, &mut found)?;
            progress.set_position(found.messages);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn read(store: &dyn SessionStore, id: &SessionId, found: &mut Found) -> Result<()> {
    let mut first = 1;
    loop {
        let query = ReadQuery::forward(first, u64::MAX).max_messages(1_000).max_bytes(4 << 20);
        let Some(page) = block_on(store.salvage(id, query))? else { return Ok(()) };
        found.messages += page.rows.len() as u64;
        found.bytes += page.rows.iter().map(|row| row.body.len() as u64).sum::<u64>();
        let seen = page.rows.iter().map(|row| row.seq);
        let seen = seen.chain(page.damage.iter().filter_map(|damage| damage.seq)).max();
        found.damage.extend(page.damage.into_iter().map(|damage| damage.error));
        match seen {
            Some(seen) if page.more => first = seen + 1,
            _ => return Ok(()),
        }
    }
}
