//! `stats`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use crate::output::Output;
use crate::place::Place;
use crate::progress::bar;
use crate::{text, walk};
use durable_session::store::ListQuery;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;

#[derive(Default)]
struct Counts {
    sessions: u64,
    damaged: u64,
    messages: u64,
    bytes: u64,
    open_replies: u64,
    oldest: Option<u64>,
    newest: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result {
    let store = args.reading()?;
    let list = store.list();
    let mut counts = Counts::default();
    let progress = bar("sessions", None);
    walk::pages(&*list, ListQuery::all(walk::PAGE), |page| {
        for listed in &page {
            counts.sessions += 1;
            match &listed.head {
                Ok(head) => {
                    counts.messages += head.messages;
                    counts.bytes += head.bytes;
                    let oldest = counts.oldest.get_or_insert(head.created_at);
                    *oldest = head.created_at.min(*oldest);
                    counts.newest = counts.newest.max(Some(head.changed_at));
                }
                Err(error) => {
                    counts.damaged += 1;
                    progress
                        .suspend(|| eprintln!("corrupt session={}: {error}", listed.id.as_str()));
                }
            }
        }
        progress.inc(page.len() as u64);
        Ok(ControlFlow::Continue(()))
    })?;
    walk::pages(&*list, ListQuery::open_replies(walk::PAGE), |page| {
        counts.open_replies += page.len() as u64;
        Ok(ControlFlow::Continue(()))
    })?;
    progress.finish_and_clear();
    let (file, log) = match args.place()? {
        Place::Redb(path) => (Some(length(path)), Some(log_bytes(path))),
        Place::Postgres(_) => (None, None),
    };
    let damaged = store.end()?;
    let mut output = Output::new(args.json);
    if output.is_json() {
        output.say(
            "",
            &json!({
                "sessions": counts.sessions,
                "damagedSessions": counts.damaged,
                "sessionsWithOpenReplies": counts.open_replies,
                "messages": counts.messages,
                "bytes": counts.bytes,
                "oldestCreatedAt": counts.oldest,
                "newestChangedAt": counts.newest,
                "fileBytes": file,
                "logBytes": log,
            }),
        )?;
    } else {
        let mut line = |name: &str, value: String| output.text(&format!("{name:22}{value}"));
        line("sessions", counts.sessions.to_string())?;
        line("  damaged", counts.damaged.to_string())?;
        line("  with an open reply", counts.open_replies.to_string())?;
        line("messages", format!("{} ({})", counts.messages, text::bytes(counts.bytes)))?;
        let time = |time: Option<u64>| time.map_or("-".to_owned(), text::time);
        line("first created", time(counts.oldest))?;
        line("last changed", time(counts.newest))?;
        for (name, bytes) in [("file", file), ("log", log)] {
            if let Some(bytes) = bytes {
                line(name, text::bytes(bytes))?;
            }
        }
    }
    Ok(Exit::incomplete_if(damaged || counts.damaged > 0))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// The bytes of all segments `PATH-wal.N`.
fn log_bytes(path: &Path) -> u64 {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return 0 };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let prefix = format!("{name}-wal.");
    let entries = std::fs::read_dir(folder.unwrap_or_else(|| Path::new(".")));
    entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .map(|entry| length(&entry.path()))
        .sum()
}
