//! `list`.

use crate::Result;
use crate::args::{Args, List};
use crate::exit::Exit;
use crate::output::Output;
use crate::{text, walk};
use durable_session::store::ListedSession;
use serde_json::json;
use std::ops::ControlFlow;

const HEADS: [&str; 5] = ["ID", "OWNER", "TITLE", "MESSAGES", "CHANGED"];

pub(super) fn run(args: &Args, list: &List) -> Result {
    let store = args.reading()?;
    let mut output = Output::new(args.json);
    let mut left = list.limit.unwrap_or(usize::MAX);
    let mut damaged = false;
    walk::pages(&*store.list(), list.which.query(), |mut page| {
        page.truncate(left);
        left -= page.len();
        for listed in &page {
            if let Err(error) = &listed.head {
                damaged = true;
                eprintln!("corrupt session={}: {error}", listed.id.as_str());
            }
        }
        if output.is_json() {
            for listed in &page {
                output.say("", &object(listed))?;
            }
        } else {
            output.table(&HEADS, &page.iter().map(row).collect::<Vec<_>>())?;
        }
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let damaged = damaged | store.end()?;
    Ok(Exit::incomplete_if(damaged))
}

fn object(listed: &ListedSession) -> serde_json::Value {
    let head = listed.head.as_ref().ok();
    json!({
        "id": listed.id.as_str(),
        "owner": listed.labels.get_owner(),
        "title": listed.labels.get_title(),
        "messages": head.map(|head| head.messages),
        "changedAt": head.map(|head| head.changed_at),
    })
}

fn row(listed: &ListedSession) -> Vec<String> {
    let label = |label: Option<&str>| text::line(label.unwrap_or("-"));
    let (messages, changed) = match &listed.head {
        Ok(head) => (head.messages.to_string(), text::time(head.changed_at)),
        Err(_) => ("damaged".to_owned(), "-".to_owned()),
    };
    vec![
        listed.id.as_str().to_owned(),
        label(listed.labels.get_owner()),
        label(listed.labels.get_title()),
        messages,
        changed,
    ]
}
