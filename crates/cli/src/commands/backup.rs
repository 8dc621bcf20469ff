//! `backup`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::bar;
use crate::text;
use futures_executor::block_on;
use serde_json::json;
use std::path::Path;

pub(super) fn run(args: &Args, file: &Path) -> Result {
    let store = args.reading()?;
    let redb = store.redb("backup", "use pg_dump --schema=chat")?;
    let progress = bar("rows", Some(0));
    let shown = progress.clone();
    block_on(redb.backup(file, move |copied| {
        shown.set_length(copied.total);
        shown.set_position(copied.done);
    }))?;
    progress.finish_and_clear();
    let damaged = store.end()?;
    let bytes = std::fs::metadata(file)?.len();
    Output::new(args.json).say(
        &format!("{}: {}", file.display(), text::bytes(bytes)),
        &json!({ "file": file, "bytes": bytes }),
    )?;
    Ok(Exit::incomplete_if(damaged))
}
