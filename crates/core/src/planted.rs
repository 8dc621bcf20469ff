//! Bugs on purpose, for the campaigns that must catch them.
//!
//! Built with `--cfg planted` (and debug assertions), the environment variable `DURABLE_SESSION_PLANTED` names the bug to
//! have. In every other build there are none, and asking costs nothing.

#[cfg(all(planted, not(debug_assertions)))]
compile_error!("planted bugs must not be built without debug assertions");

/// Whether to have the bug `name` now.
#[cfg(planted)]
pub fn bug(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("DURABLE_SESSION_PLANTED").ok()).as_deref() == Some(name)
}

/// Whether to have the bug `name` now: never.
#[cfg(not(planted))]
#[inline(always)]
#[allow(clippy::inline_always)] // it must cost nothing
pub const fn bug(_: &str) -> bool {
    false
}
