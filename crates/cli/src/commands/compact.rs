//! `compact`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::Place;
use crate::text;
use futures_executor::block_on;
use serde_json::json;

pub(super) fn run(args: &Args, scrub: bool) -> Result {
    let store = args.changing()?;
    let redb = store.redb("compact", "the server vacuums by itself")?;
    let length = || match args.place() {
        Ok(Place::Redb(path)) => std::fs::metadata(path).map_or(0, |file| file.len()),
        _ => 0,
    };
    let before = length();
    if scrub {
        block_on(redb.scrub())?;
    } else {
        block_on(redb.compact())?;
    }
    store.close()?;
    let after = length();
    Output::new(args.json).say(
        &format!("before {}, after {}", text::bytes(before), text::bytes(after)),
        &json!({ "bytesBefore": before, "bytesAfter": after }),
    )?;
    Ok(Exit::Done)
}
