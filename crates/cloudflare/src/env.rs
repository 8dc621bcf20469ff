//! The Workers runtime's clock and randomness.

use durable_session::env::{Clock, Random, RandomError};
use std::cell::Cell;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(buf: &mut [u8]) -> Result<JsValue, JsValue>;
}

/// `Date.now()`. The runtime holds it still while code runs; it moves on with I/O.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerClock;

impl Clock for WorkerClock {
    // A date in milliseconds is a whole number far below 2^53, and never negative here.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn now_ms(&self) -> u64 {
        js_sys::Date::now() as u64
    }

    /// The greatest `Date.now()` so far in this isolate.
    fn monotonic_ms(&self) -> u64 {
        thread_local! {
            static LATEST: Cell<u64> = const { Cell::new(0) };
        }
        let now = self.now_ms();
        LATEST.with(|latest| {
            latest.set(latest.get().max(now));
            latest.get()
        })
    }
}

/// `crypto.getRandomValues()`. The runtime refuses it outside a request or an object.
#[derive(Debug, Clone, Copy, Default)]
pub struct WorkerRandom;

impl Random for WorkerRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), RandomError> {
        // getRandomValues takes at most 65,536 bytes a call.
        for part in buf.chunks_mut(1 << 16) {
            get_random_values(part).map_err(|e| RandomError::new(worker::Error::from(e)))?;
        }
        Ok(())
    }
}
