//! How stored bytes appear in `Debug` output: by their number only. Message bodies, app states and
//! chunks are the users' own words and stay out of logs.

use bytes::Bytes;
use std::fmt;

/// Shows `34 bytes` in the place of the bytes.
pub(crate) struct Size(pub(crate) usize);

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// Shows `3 chunks, 34 bytes` in the place of the chunks.
pub(crate) struct Chunks<'a>(pub(crate) &'a [Bytes]);

impl fmt::Debug for Chunks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.0.iter().map(Bytes::len).sum();
        write!(f, "{} chunks, {bytes} bytes", self.0.len())
    }
}
