//! Progress on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;

/// A bar for something that has so many parts, or a count if nobody knows.
pub(crate) fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{prefix} {wide_bar} {human_pos}/{human_len} {eta}")
        }
        None => (ProgressBar::no_length(), "{prefix} {human_pos} {rate}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // What cannot be written is not shown.
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
    }
    bar.with_prefix(what)
}
