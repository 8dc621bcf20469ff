//! `erase`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::bar;
use durable_session::ErrorChain;
use futures_executor::block_on;
use serde_json::json;

pub(super) fn run(args: &Args, owner: &str, scrub: bool) -> Result {
    let store = args.changing()?;
    if scrub {
        store.redb("--scrub", "the server takes the space of deleted rows again by itself")?;
    }
    let sessions = store.sessions();
    let progress = bar("sessions", None);
    let shown = progress.clone();
    let erasing = sessions.erase_owner(owner).progress(|report| shown.set_position(report.erased));
    let report = block_on(erasing.into_future())?;
    progress.finish_and_clear();
    for (id, error) in &report.failed {
        eprintln!("not erased: session={}: {}", id.as_str(), ErrorChain(error));
    }
    block_on(sessions.close())?;
    if scrub {
        block_on(store.redb("--scrub", "")?.scrub())?;
    }
    store.close()?;
    let (erased, failed) = (report.erased, report.failed.len());
    Output::new(args.json).say(
        &format!("erased sessions={erased} failed={failed}"),
        &json!({ "erased": erased, "failed": failed }),
    )?;
    Ok(Exit::incomplete_if(failed > 0))
}
