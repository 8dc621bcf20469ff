//! `sweep`.

use crate::Result;
use crate::args::Args;
use crate::exit::{Exit, Usage};
use crate::output::Output;
use durable_session::{ChatSessions, ErrorChain, Expiry};
use futures_executor::block_on;
use serde_json::json;
use std::time::Duration;

/// Nobody reads through this program, so it never writes a use down.
const TOUCH: Duration = Duration::from_millis(1);

pub(super) fn run(args: &Args, idle: Duration) -> Result {
    let expiry = Expiry::after(idle, TOUCH).map_err(|error| Usage(format!("--idle: {error}")))?;
    let store = args.changing()?;
    let list = store.list();
    let sessions: ChatSessions = ChatSessions::builder(list.clone()).expiry(expiry).build();
    let report = block_on(sessions.sweep(&*list))?;
    block_on(sessions.close())?;
    store.close()?;
    for (id, error) in &report.failed {
        eprintln!("not swept: session={}: {}", id.as_str(), ErrorChain(error));
    }
    let (deleted, failed) = (report.deleted, report.failed.len());
    Output::new(args.json).say(
        &format!("deleted sessions={deleted} failed={failed}"),
        &json!({ "deleted": deleted, "failed": failed }),
    )?;
    Ok(Exit::incomplete_if(failed > 0))
}
