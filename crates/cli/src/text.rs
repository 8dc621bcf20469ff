//! Text for people: times, sizes, and what somebody else wrote.

use durable_session::SessionId;
use durable_session::store::StoreError;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// A time in Unix milliseconds, in UTC.
pub(crate) fn time(ms: u64) -> String {
    match SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)) {
        // The last second that the format has is in the year 9999.
        Some(time) if ms < 253_402_300_800_000 => {
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => format!("{ms} ms"),
    }
}

/// A number of bytes, such as `1.2 GiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// Text that somebody else wrote, on one line: control characters, which a terminal could obey, are
/// escaped.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same on several lines.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |c| c == '\n' || c == '\t')
}

/// The line about a damaged place.
pub(crate) fn corrupt(session: Option<&SessionId>, seq: Option<u64>, error: &StoreError) -> String {
    let session = session.map_or("-", SessionId::as_str);
    let seq = seq.map_or("-".to_owned(), |seq| seq.to_string());
    format!("corrupt session={session} seq={seq}: {error}")
}

fn escaped(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !is_kept(c) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{line, lines, time};

    #[test]
    fn a_terminal_obeys_no_text_that_is_shown() {
        assert_eq!(line("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(lines("a\tb\nc\r\u{9b}d"), "a\tb\nc\\r\\u{9b}d");
        assert_eq!(line("Grüße 🙂"), "Grüße 🙂");
    }

    #[test]
    fn every_time_can_be_shown() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_763_264_606_917), "2025-11-16T03:43:26Z");
        assert_eq!(time(u64::MAX), "18446744073709551615 ms");
    }
}
