//! `show`.

use crate::Result;
use crate::args::{Args, Show};
use crate::exit::{Exit, Usage};
use crate::output::Output;
use crate::place::Store;
use crate::text;
use durable_session::store::{Head, Labels, ReadQuery, Row, Salvaged, SessionStore};
use durable_session::{Message, MessageQuery, SessionId};
use futures_executor::block_on;
use serde_json::{Value, json};
use std::time::Duration;

/// Messages that are read at once.
const PAGE: usize = 256;

/// Bytes that are read at once.
const PAGE_BYTES: u64 = 4 << 20;

/// How long `--follow` waits between two questions.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn run(args: &Args, show: &Show) -> Result {
    let store = args.reading()?;
    if show.follow && matches!(store, Store::Redb(_)) {
        let told = "a redb store cannot be read while a service has it open: follow the session \
                    through the service (GET /api/chat/ID/events)";
        return Err(Usage(told.to_owned()).into());
    }
    let mut output = Output::new(args.json);
    let sessions = store.list();
    let mut shown = Shown { output: &mut output, id: &show.id, last: 0, damaged: false };
    let found = match show.last {
        Some(count) => shown.newest(&*sessions, count)?,
        None => shown.all(&*sessions)?,
    };
    if !found {
        return Err(Usage(format!("there is no session {}", show.id.as_str())).into());
    }
    let (last, damaged) = (shown.last, shown.damaged);
    if show.follow {
        follow(&store, show, last, &mut output)?;
    }
    let damaged = damaged | store.end()?;
    Ok(Exit::incomplete_if(damaged))
}

struct Shown<'a> {
    output: &'a mut Output,
    id: &'a SessionId,
    /// The seq of the last message.
    last: u64,
    damaged: bool,
}

impl Shown<'_> {
    /// Shows the head and all messages; `false` if there is no session.
    fn all(&mut self, store: &dyn SessionStore) -> Result<bool> {
        let mut first = 1;
        loop {
            let query = ReadQuery::forward(first, u64::MAX);
            let query = query.max_messages(PAGE).max_bytes(PAGE_BYTES);
            let Some(page) = block_on(store.salvage(self.id, query))? else {
                return Ok(first > 1);
            };
            if first == 1 {
                self.head(&page)?;
            }
            self.damage(&page);
            for row in &page.rows {
                self.message(row)?;
            }
            let seen = page.rows.iter().map(|row| row.seq);
            let seen = seen.chain(page.damage.iter().filter_map(|damage| damage.seq)).max();
            match seen {
                Some(seen) if page.more => first = seen + 1,
                _ => return Ok(true),
            }
        }
    }

    /// Shows the head and so many messages.
    fn newest(&mut self, store: &dyn SessionStore, count: usize) -> Result<bool> {
        let query = ReadQuery::backward(1, u64::MAX).max_messages(count);
        let Some(page) = block_on(store.salvage(self.id, query))? else { return Ok(false) };
        self.head(&page)?;
        self.damage(&page);
        for row in page.rows.iter().rev() {
            self.message(row)?;
        }
        Ok(true)
    }

    fn head(&mut self, page: &Salvaged) -> Result<()> {
        let labels = page.labels.clone().unwrap_or_default();
        let app = page.app.as_deref().map(String::from_utf8_lossy);
        if self.output.is_json() {
            let app = app.map(|app| serde_json::from_str(&app).unwrap_or(Value::Null));
            return self
                .output
                .say("", &head_object(self.id, page.head.as_ref(), &labels, app.as_ref()));
        }
        self.output.heading(self.id.as_str())?;
        let mut line = |name: &str, value: &str| self.output.text(&format!("{name:10}{value}"));
        for (name, label) in [("owner", labels.get_owner()), ("title", labels.get_title())] {
            if let Some(label) = label {
                line(name, &text::line(label))?;
            }
        }
        match &page.head {
            Some(head) => {
                line("messages", &format!("{} ({})", head.messages, text::bytes(head.bytes)))?;
                line("created", &text::time(head.created_at))?;
                line("changed", &text::time(head.changed_at))?;
                line("used", &text::time(head.last_accessed_at))?;
            }
            None => line("head", "damaged")?,
        }
        for reply in &page.replies {
            let told = format!("seq {}, {} chunks", reply.seq, reply.counts.chunks);
            line("open reply", &format!("  {told}"))?;
        }
        if let Some(app) = app {
            line("app", &text::line(&app))?;
        }
        Ok(())
    }

    fn damage(&mut self, page: &Salvaged) {
        for damage in &page.damage {
            self.damaged = true;
            eprintln!("{}", text::corrupt(Some(self.id), damage.seq, &damage.error));
        }
    }

    fn message(&mut self, row: &Row) -> Result<()> {
        self.last = row.seq;
        let json = String::from_utf8_lossy(&row.body);
        message(self.output, row.seq, &json)
    }
}

fn head_object(id: &SessionId, head: Option<&Head>, labels: &Labels, app: Option<&Value>) -> Value {
    json!({
        "id": id.as_str(),
        "owner": labels.get_owner(),
        "title": labels.get_title(),
        "messages": head.map(|head| head.messages),
        "bytes": head.map(|head| head.bytes),
        "createdAt": head.map(|head| head.created_at),
        "changedAt": head.map(|head| head.changed_at),
        "lastAccessedAt": head.map(|head| head.last_accessed_at),
        "app": app,
    })
}

fn message(output: &mut Output, seq: u64, json: &str) -> Result<()> {
    if output.is_json() {
        // The stored text, so that no number loses digits.
        return output.text(&format!("{{\"seq\":{seq},\"message\":{json}}}"));
    }
    match Message::from_json(json) {
        Ok(message) => {
            output.heading(&format!("{seq} {}", text::line(&message.role())))?;
            match message.text() {
                Some(shown) => output.text(&text::lines(&shown)),
                None => output.text(&text::lines(json)),
            }
        }
        Err(_) => output.text(&format!("{seq} {}", text::line(json))),
    }
}

/// Shows each new message, until somebody interrupts it.
fn follow(store: &Store, show: &Show, mut last: u64, output: &mut Output) -> Result<()> {
    let session = store.sessions().session(show.id.clone());
    loop {
        let page = block_on(session.messages(MessageQuery::after(last, PAGE)))?;
        for stored in &page.messages {
            last = stored.seq;
            message(output, stored.seq, stored.message.as_json())?;
        }
        if page.version.is_none() {
            eprintln!("the session was deleted");
            return Ok(());
        }
        if !page.more {
            std::thread::sleep(PAUSE);
        }
    }
}
