//! `import`.

use crate::Result;
use crate::args::{Args, Import as Given};
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::bar;
use anyhow::Context;
use durable_session::store::SessionStore;
use durable_session::transfer::{
    self, ImportCounts, ImportError, ImportOptions, LastUse, Position, ReadError, Records,
};
use durable_session::{ErrorChain, SessionId};
use durable_session_convert::{Conversation, ConvertError, Format, NotTaken, Options, convert};
use futures_executor::block_on;
use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, poll_immediate};
use futures_util::stream::FuturesOrdered;
use indicatif::ProgressBar;
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most conversations that are stored at once. They share a sync of the disk.
const AT_ONCE: usize = 64;
/// The most bytes of these, unless one conversation alone has more.
const BYTES_AT_ONCE: usize = 8 << 20;

pub(super) fn run(args: &Args, given: &Given) -> Result {
    // Before the store, which would be made for nothing.
    let (input, at) = input(&given.file)?;
    let mut options = Options::at(at).all_branches(given.all_branches);
    options.time_unit = given.time_unit;
    options.owner.clone_from(&given.owner);
    let last_use = if given.recorded_use { LastUse::Recorded } else { LastUse::Now };
    let store = args.open(args.place()?)?;
    let list = store.list();
    let import = ImportOptions::default().last_use(last_use);
    let mut importing = Importing {
        format: given.format,
        options,
        output: Output::new(args.json),
        progress: bar("sessions", None),
        counts: Counts::default(),
    };
    let imported = block_on(importing.all(&*list, &import, Records::new(input)));
    importing.progress.finish_and_clear();
    importing.told(imported.is_ok())?;
    store.close()?;
    imported?;
    Ok(Exit::incomplete_if(!importing.counts.is_complete()))
}

/// The input, and a time that is the same in each run: that of the file.
fn input(path: &Path) -> Result<(Box<dyn BufRead + Send>, u64)> {
    let ms = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    if path == Path::new("-") {
        let now = u64::try_from(ms(SystemTime::now()))?;
        return Ok((Box::new(BufReader::new(std::io::stdin())), now));
    }
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let at = u64::try_from(ms(file.metadata()?.modified()?))?;
    Ok((Box::new(BufReader::with_capacity(1 << 20, file)), at))
}

#[derive(Default)]
struct Counts {
    taken: u64,
    not_taken: u64,
    /// Parts of conversations that were taken.
    items_not_taken: u64,
    stored: u64,
    found: u64,
}

impl Counts {
    fn is_complete(&self) -> bool {
        self.taken > 0 && self.not_taken == 0 && self.items_not_taken == 0
    }
}

/// Conversations that are being stored, in the order of the input.
#[derive(Default)]
struct Running<'a> {
    imports: FuturesOrdered<LocalBoxFuture<'a, Import>>,
    /// The bytes of each session's line.
    lines: HashMap<SessionId, usize>,
    bytes: usize,
}

/// What became of a conversation.
struct Import {
    id: SessionId,
    position: Position,
    not_taken: Vec<NotTaken>,
    imported: Result<ImportCounts, ImportError>,
}

impl<'a> Running<'a> {
    /// Whether the conversation has to wait. Two of one session are stored one after the other.
    fn is_full_for(&self, next: &Conversation) -> bool {
        self.lines.len() == AT_ONCE
            || (self.bytes > 0 && self.bytes + next.line.len() > BYTES_AT_ONCE)
            || self.lines.contains_key(&next.id)
    }

    fn start(
        &mut self,
        store: &'a dyn SessionStore,
        options: &'a ImportOptions,
        position: Position,
        conversation: Conversation,
    ) {
        let Conversation { id, line, not_taken, .. } = conversation;
        self.lines.insert(id.clone(), line.len());
        self.bytes += line.len();
        self.imports.push_back(Box::pin(async move {
            let imported = transfer::import(store, &line, options).await;
            Import { id, position, not_taken, imported }
        }));
    }

    /// Waits for the first of them.
    async fn next(&mut self) -> Option<Import> {
        let ended = self.imports.next().await?;
        self.bytes -= self.lines.remove(&ended.id).unwrap_or_default();
        Some(ended)
    }
}

struct Importing {
    format: Option<Format>,
    options: Options,
    output: Output,
    progress: ProgressBar,
    counts: Counts,
}

impl Importing {
    async fn all(
        &mut self,
        store: &dyn SessionStore,
        options: &ImportOptions,
        records: Records<'_>,
    ) -> Result<()> {
        let mut running = Running::default();
        for record in records {
            let converted = match record.text {
                Ok(text) => self.converted(&text),
                Err(error @ ReadError::Io(_)) => {
                    self.rest(&mut running).await?;
                    return Err(error.into());
                }
                Err(error) => Err(ErrorChain(&error).to_string()),
            };
            match converted {
                Ok(conversations) => {
                    for next in conversations {
                        while running.is_full_for(&next) {
                            let Some(ended) = running.next().await else { break };
                            self.count(ended)?;
                        }
                        running.start(store, options, record.position, next);
                        // Lets it begin while the next record is read.
                        while let Some(ended) = poll_immediate(running.next()).await.flatten() {
                            self.count(ended)?;
                        }
                    }
                }
                Err(why) => {
                    // What was not taken is told in the order of the input.
                    self.rest(&mut running).await?;
                    self.refuse(&record.position, &why)?;
                }
            }
        }
        self.rest(&mut running).await
    }

    async fn rest(&mut self, running: &mut Running<'_>) -> Result<()> {
        while let Some(ended) = running.next().await {
            self.count(ended)?;
        }
        Ok(())
    }

    fn converted(&self, record: &str) -> Result<Vec<Conversation>, String> {
        let format = self.format.or_else(|| Format::recognize(record));
        let Some(format) = format else {
            return Err(match transfer::recognize(record) {
                Some(shape) => format!("it is {shape}"),
                None => "its format is not known; name it with --format".to_owned(),
            });
        };
        convert(format, record, &self.options).map_err(|error| match &error {
            ConvertError::Time { field, value, unit } => {
                format!("`{field}` is {value}, which is not plausible in {unit}; see --time-unit")
            }
            error => format!("as {format}: {}", ErrorChain(error)),
        })
    }

    fn count(&mut self, Import { position, not_taken, imported, .. }: Import) -> Result<()> {
        match imported {
            Ok(counts) => {
                self.counts.taken += 1;
                self.counts.stored += counts.stored;
                self.counts.found += counts.found;
                self.progress.inc(1);
                for left in &not_taken {
                    self.counts.items_not_taken += 1;
                    self.tell(&position, left)?;
                }
                Ok(())
            }
            Err(error) if error.is_general() => Err(error.into()),
            Err(error) => self.refuse(&position, &ErrorChain(&error)),
        }
    }

    fn refuse(&mut self, position: &impl Display, why: &impl Display) -> Result<()> {
        self.counts.not_taken += 1;
        self.tell(position, why)
    }

    fn tell(&mut self, position: &impl Display, why: &impl Display) -> Result<()> {
        if self.output.is_json() {
            let object = json!({ "notTaken": position.to_string(), "why": why.to_string() });
            return self.output.say("", &object);
        }
        self.progress.suspend(|| eprintln!("not taken: {position}: {why}"));
        Ok(())
    }

    fn told(&mut self, ended: bool) -> Result<()> {
        let Counts { taken, not_taken, items_not_taken, stored, found } = self.counts;
        let text = format!(
            "imported sessions={taken} not_taken={not_taken} items_not_taken={items_not_taken} \
             messages_stored={stored} messages_found={found}{}",
            if ended { "" } else { "; the end of the input was not reached" }
        );
        let object = json!({
            "sessions": taken,
            "notTaken": not_taken,
            "itemsNotTaken": items_not_taken,
            "messagesStored": stored,
            "messagesFound": found,
            "complete": ended,
        });
        self.output.say(&text, &object)
    }
}
