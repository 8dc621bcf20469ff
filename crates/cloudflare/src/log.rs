//! `tracing` events on the console, from which the platform takes its logs.

use std::fmt::{self, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use worker::{console_error, console_warn};

/// Writes the warnings and errors of these crates (`tracing` events) to the console.
///
/// Call it when the Worker starts. It does nothing if the Worker has set a subscriber of its own.
///
/// ```no_run
/// #[worker::event(start)]
/// fn start() {
///     durable_session_cloudflare::log_to_console();
/// }
/// ```
pub fn log_to_console() {
    // An error: the Worker has a subscriber of its own.
    let _ = tracing::subscriber::set_global_default(Console(to_console));
}

fn to_console(level: Level, line: &str) {
    if level == Level::ERROR {
        console_error!("{line}");
    } else {
        console_warn!("{line}");
    }
}

struct Console<W>(W);

impl<W: Fn(Level, &str) + 'static> Subscriber for Console<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        (self.0)(*event.metadata().level(), &line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into memory cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Console;
    use std::sync::{Arc, Mutex};

    #[test]
    fn warnings_and_errors_become_lines_and_other_events_do_not() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let console =
            Console(move |level, line: &str| sink.lock().unwrap().push(format!("{level} {line}")));
        tracing::subscriber::with_default(console, || {
            tracing::info!("not this");
            tracing::error!(session = %"abc", error = %"it broke", "a session failed");
            let _span = tracing::error_span!("s").entered();
            tracing::warn!(count = 3, "careful");
        });
        let target = module_path!();
        assert_eq!(
            *lines.lock().unwrap(),
            [
                format!("ERROR {target} a session failed session=abc error=it broke"),
                format!("WARN {target} careful count=3")
            ]
        );
    }
}
