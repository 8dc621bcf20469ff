//! The program as an operator uses it.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

mod broken;
mod fixture;
mod healthy;
mod importing;
mod postgres;
