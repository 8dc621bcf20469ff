//! The protocol in an axum service (feature `axum`).
//!
//! [`router`] makes the routes, to merge into any app. [`serve`] runs an app, closes connections of
//! clients that are too slow, and stops with a [`Shutdown`] that finishes the accepted changes.
//! `axum::serve` works too, but waits without a limit for slow request heads and for clients that
//! do not read.

mod budget;
mod options;

#[cfg(feature = "proxy")]
mod proxy;
mod receive;
mod router;
mod serve;
mod shutdown;
mod streams;
mod write_timeout;

#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
pub use crate::base_url::InvalidBaseUrl;
pub use budget::ByteBudget;
pub use options::RouterOptions;
#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
pub use proxy::{ProxyOptions, proxy};
pub use router::router;
pub use serve::{ServeOptions, serve};
pub use shutdown::Shutdown;
