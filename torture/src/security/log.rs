//! Everything that is logged, at every level, on every thread.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// The log of this process, while it is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<Option<String>>>);

impl Log {
    /// Begins to keep the log.
    pub(super) fn begin() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            // Another one is never set in this program.
            let _ = tracing::subscriber::set_global_default(log.clone());
            log
        });
        *log.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(String::new());
        log.clone()
    }

    /// Stops and hands out the log.
    pub(super) fn end(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    fn write(&self, what: &str, record: impl FnOnce(&mut Text<'_>)) {
        if let Some(text) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            text.push_str(what);
            record(&mut Text(text));
            text.push('\n');
        }
    }
}

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(span.metadata().name(), |text| span.record(text));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.write("record", |text| values.record(text));
    }

    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata().target(), |text| event.record(text));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
