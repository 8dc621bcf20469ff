//! Futures that are dropped after one poll: their work may be done or not, but never by half.

use crate::Failure;
use crate::fixture::{Checked, Looks, yield_now};
use futures_util::FutureExt;
use std::future::Future;

/// Polls a future once and drops it. Returns its output if it was ready.
pub(crate) fn polled_once<T>(future: impl Future<Output = T>) -> Option<T> {
    Box::pin(future).now_or_never()
}

/// Looks at a dropped future's work for a while; `is_whole` fails if half of it is done.
pub(crate) async fn never_half(mut is_whole: impl AsyncFnMut() -> Checked<bool>) -> Checked {
    for _ in 0..10 {
        is_whole().await?;
        yield_now().await;
    }
    Ok(())
}

/// Looks at a dropped future's work until all of it is done.
pub(crate) async fn finishes(
    work: &str,
    mut is_whole: impl AsyncFnMut() -> Checked<bool>,
) -> Checked {
    let mut looks = Looks::new(100_000);
    loop {
        if is_whole().await? {
            return Ok(());
        }
        if !looks.next().await {
            return Err(Failure::new(format_args!(
                "{work} was never made after its future was dropped"
            )));
        }
    }
}
