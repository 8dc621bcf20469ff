//! `export`.

use crate::Result;
use crate::args::{Args, Export};
use crate::exit::{Exit, Usage};
use crate::progress::bar;
use crate::{text, walk};
use anyhow::Context;
use durable_session::SessionId;
use durable_session::store::{SessionStore, StoreError, StoreErrorKind};
use durable_session::transfer;
use futures_executor::block_on;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;

pub(super) fn run(args: &Args, export: &Export) -> Result {
    let store = args.reading()?;
    let list = store.list();
    let out: Box<dyn Write> = match &export.output {
        None => Box::new(std::io::stdout().lock()),
        Some(path) => {
            let made = File::create_new(path);
            Box::new(made.with_context(|| format!("could not make the file {}", path.display()))?)
        }
    };
    let mut writing = Writing {
        out: BufWriter::with_capacity(1 << 20, out),
        progress: bar("sessions", None),
        missing: 0,
        damaged: 0,
    };
    if export.ids.is_empty() {
        walk::pages(&*list, export.which.query(), |page| {
            for listed in page {
                match listed.head {
                    Ok(_) => writing.session(&*list, &listed.id)?,
                    Err(error) => writing.damage(&listed.id, &error),
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    for id in &export.ids {
        writing.session(&*list, id)?;
        if writing.missing > 0 {
            return Err(Usage(format!("there is no session {}", id.as_str())).into());
        }
    }
    writing.out.flush()?;
    writing.progress.finish_and_clear();
    let not_exported = writing.damaged;
    if not_exported > 0 {
        eprintln!(
            "{not_exported} damaged sessions were not exported; durable-session salvage moves what \
             can be read of them"
        );
    }
    drop(writing);
    let damaged = store.end()?;
    Ok(Exit::incomplete_if(damaged || not_exported > 0))
}

struct Writing {
    out: BufWriter<Box<dyn Write>>,
    progress: ProgressBar,
    /// Sessions that are not there, or not any more.
    missing: u64,
    damaged: u64,
}

impl Writing {
    fn session(&mut self, store: &dyn SessionStore, id: &SessionId) -> Result<()> {
        match block_on(transfer::export(store, id)) {
            Ok(Some(line)) => {
                writeln!(self.out, "{line}")?;
                self.progress.inc(1);
            }
            Ok(None) => self.missing += 1,
            Err(error) if error.kind() == StoreErrorKind::Corrupt => self.damage(id, &error),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn damage(&mut self, id: &SessionId, error: &StoreError) {
        self.damaged += 1;
        let line = text::corrupt(Some(id), error.seq(), error);
        self.progress.suspend(|| eprintln!("{line}"));
    }
}
