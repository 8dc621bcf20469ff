//! Message bodies copied out of the database's pages, many to an allocation.

use bytes::{Bytes, BytesMut};

/// How many bytes share an allocation. Whoever keeps one small body keeps so much in memory at most.
const CHUNK: usize = 4096;

/// Copies bodies.
pub(crate) struct Bodies {
    room: BytesMut,
    /// How many bytes are still to come, about: no more room is made than that.
    expected: usize,
}

impl Bodies {
    /// For bodies of so many bytes together, as far as that is known.
    pub(crate) fn new(expected: u64) -> Self {
        Self { room: BytesMut::new(), expected: usize::try_from(expected).unwrap_or(usize::MAX) }
    }

    pub(crate) fn copy(&mut self, body: &[u8]) -> Bytes {
        if body.len() > CHUNK / 4 {
            return Bytes::copy_from_slice(body);
        }
        if self.room.capacity() < body.len() {
            self.room = BytesMut::with_capacity(self.expected.clamp(body.len(), CHUNK));
        }
        self.expected = self.expected.saturating_sub(body.len());
        self.room.extend_from_slice(body);
        self.room.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_out_as_they_went_in_whatever_was_expected() {
        for expected in [0, 10, 100, 100_000, u64::MAX] {
            let mut bodies = Bodies::new(expected);
            let all: Vec<Vec<u8>> =
                (0..200_u8).map(|n| vec![n; usize::from(n) * usize::from(n % 9)]).collect();
            let copied: Vec<Bytes> = all.iter().map(|body| bodies.copy(body)).collect();
            assert_eq!(copied, all);
        }
    }
}
