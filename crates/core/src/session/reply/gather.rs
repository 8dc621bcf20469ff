//! Reading ahead from the stream of a producer.

use crate::error::Error;
use crate::store::StoreLimits;
use bytes::Bytes;
use futures_core::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One extension has at most so many chunks and about so many bytes.
const CHUNKS: usize = 1024;
const BYTES: u64 = 64 << 10;

/// Chunks that were read and wait to be written.
pub(super) struct Gather {
    chunks: Vec<Bytes>,
    bytes: u64,
    max_chunks: usize,
    max_bytes: u64,
    /// The stream has ended.
    done: bool,
    /// An item was refused. Nothing is read after it.
    failed: Option<Error>,
}

impl Gather {
    pub(super) fn new(limits: StoreLimits) -> Self {
        Self {
            chunks: Vec::new(),
            bytes: 0,
            max_chunks: CHUNKS.min(limits.max_commit_ops),
            max_bytes: BYTES.min(limits.max_commit_bytes / 2),
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
        while !self.is_over()
            && self.chunks.len() < self.max_chunks.max(1)
            && self.bytes < self.max_bytes.max(1)
        {
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

    /// Whether there is something to write, or nothing more to read.
    pub(super) fn is_ready(&self) -> bool {
        !self.chunks.is_empty() || self.is_over()
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.chunks)
    }

    /// The refusal of an item, once all items before it were taken.
    pub(super) fn failed(&mut self) -> Option<Error> {
        self.failed.take()
    }
}
