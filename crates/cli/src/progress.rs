//! Progress on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for something that has so many parts, or a count if nobody knows.
pub(crate) fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{prefix} {wide_bar} {human_pos}/{human_len} {eta}")
        }
        None => (ProgressBar::no_length(), "{prefix} {human_pos} {per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
