//! `salvage`.

use crate::Result;
use crate::args::Args;
use crate::exit::{Exit, Usage};
use crate::output::Output;
use crate::place::Place;
use crate::progress::bar;
use crate::{text, walk};
use durable_session::SessionId;
use durable_session::store::{ListQuery, StoreError};
use durable_session::transfer::salvage;
use futures_executor::block_on;
use serde_json::json;
use std::ops::ControlFlow;

pub(super) fn run(args: &Args, to: &Place) -> Result {
    if let Place::Redb(path) = to
        && path.exists()
    {
        let told = format!("{} exists already; name a new file", path.display());
        return Err(Usage(told).into());
    }
    let from = args.reading()?;
    let target = args.open(to)?;
    let (list, into) = (from.list(), target.list());
    let progress = bar("sessions", None);
    let (mut sessions, mut messages, mut damaged) = (0_u64, 0_u64, 0_u64);
    let mut tell = |id: &SessionId, error: &StoreError| {
        damaged += 1;
        let line = text::corrupt(Some(id), error.seq(), error);
        progress.suspend(|| eprintln!("{line}"));
    };
    // One by one: a listing that fails in the middle has lost no more than it must.
    let walked = walk::pages(&*list, ListQuery::all(1), |page| {
        for listed in page {
            match block_on(salvage(&*list, &*into, &listed.id)) {
                Ok(salvaged) => {
                    sessions += 1;
                    messages += salvaged.messages;
                    salvaged.damage.iter().for_each(|error| tell(&listed.id, error));
                }
                Err(error) => tell(&listed.id, &error),
            }
            progress.inc(1);
        }
        Ok(ControlFlow::Continue(()))
    });
    if let Err(error) = walked {
        damaged += 1;
        progress.suspend(|| eprintln!("corrupt session=- seq=-: {error:#}"));
    }
    progress.finish_and_clear();
    target.close()?;
    from.end()?;
    Output::new(args.json).say(
        &format!("salvaged sessions={sessions} messages={messages} damaged={damaged}"),
        &json!({ "sessions": sessions, "messages": messages, "damaged": damaged }),
    )?;
    Ok(Exit::incomplete_if(damaged > 0))
}
