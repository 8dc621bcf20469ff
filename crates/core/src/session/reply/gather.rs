//! Reading ahead from the stream of a producer.

use crate::error::Error;
use crate::session::config::{Config, Gathering};
use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One extension has at most so many chunks and about so many bytes.
const CHUNKS: usize = 1024;
const BYTES: u64 = 64 << 10;

/// Chunks that were read and wait to be written.
pub(super) struct Gather<'a> {
    chunks: Vec<Bytes>,
    bytes: u64,
    max_chunks: usize,
    max_bytes: u64,
    gathering: Option<&'a Gathering>,
    /// Since the last write. Until it is over, only a full extension is written.
    pause: Option<BoxFuture<'static, ()>>,
    /// The stream has ended.
    done: bool,
    /// An item was refused. Nothing is read after it.
    failed: Option<Error>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        let gathering = config.gathering.as_ref();
        let limits = config.store_limits;
        let bytes = gathering.map_or(BYTES, |gathering| gathering.bytes.min(BYTES));
        Self {
            chunks: Vec::new(),
            bytes: 0,
            max_chunks: CHUNKS.min(limits.max_commit_ops).max(1),
            max_bytes: bytes.min(limits.max_commit_bytes / 2).max(1),
            gathering,
            pause: None,
            done: false,
            failed: None,
        }
    }

    /// Reads as long as the stream has items and there is room for them.
    pub(super) fn read<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut S>,
        encode: impl Fn(S::Item) -> Result<Bytes, Error>,
    ) {
        while !self.is_over() && !self.is_full() {
            match stream.as_mut().poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.done = true,
                Poll::Ready(Some(item)) => match encode(item) {
                    Ok(chunk) => {
                        self.bytes += chunk.len() as u64;
                        self.chunks.push(chunk);
                    }
                    Err(e) => self.failed = Some(e),
                },
            }
        }
    }

    fn is_over(&self) -> bool {
        self.done || self.failed.is_some()
    }

    fn is_full(&self) -> bool {
        self.chunks.len() >= self.max_chunks || self.bytes >= self.max_bytes
    }

    /// Whether there is something to write now, or nothing more to read.
    pub(super) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_over() || self.is_full() {
            return true;
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        !self.chunks.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The chunks of the next write. The pause after it begins.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.pause = self.gathering.map(|gathering| (gathering.pause)());
        std::mem::take(&mut self.chunks)
    }

    /// The refusal of an item, once all items before it were taken.
    pub(super) fn failed(&mut self) -> Option<Error> {
        self.failed.take()
    }
}
