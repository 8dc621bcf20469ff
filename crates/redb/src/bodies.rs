//! Copying message bodies out of the pages of the database, several to an allocation.

use bytes::Bytes;
use durable_session::store::Row;

/// Bytes of bodies that share an allocation, and so the most memory that one small body keeps.
const CHUNK: usize = 8 * 1024;

/// Copies rows.
pub(crate) struct Bodies {
    rows: Vec<Row>,
    /// Bodies that share the next allocation, and the seq and length of each.
    chunk: Vec<u8>,
    parts: Vec<(u64, usize)>,
    /// Bytes still to come, about: no more room is allocated than that.
    expected: usize,
}

impl Bodies {
    /// `expected`: the bytes of all bodies together, as far as known.
    pub(crate) fn new(expected: u64) -> Self {
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        Self { rows: Vec::new(), chunk: Vec::new(), parts: Vec::new(), expected }
    }

    pub(crate) fn push(&mut self, seq: u64, body: &[u8]) {
        let small = body.len() <= CHUNK / 4;
        if !small || self.chunk.capacity() - self.chunk.len() < body.len() {
            self.share();
            let room = if small { self.expected.min(CHUNK) } else { 0 };
            self.chunk.reserve_exact(room.max(body.len()));
        }
        self.expected = self.expected.saturating_sub(body.len());
        self.chunk.extend_from_slice(body);
        self.parts.push((seq, body.len()));
    }

    /// Returns all rows in the order in which they were pushed.
    pub(crate) fn finish(mut self) -> Vec<Row> {
        self.share();
        self.rows
    }

    fn share(&mut self) {
        let mut chunk = Bytes::from(std::mem::take(&mut self.chunk));
        let rows =
            self.parts.drain(..).map(|(seq, bytes)| Row { seq, body: chunk.split_to(bytes) });
        self.rows.extend(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bodies, Row};

    #[test]
    fn bodies_come_out_as_they_went_in_however_wrong_the_expected_bytes() {
        for expected in [0, 10, 100, 100_000, u64::MAX] {
            let mut bodies = Bodies::new(expected);
            let all: Vec<Vec<u8>> =
                (0..200_u8).map(|n| vec![n; usize::from(n) * usize::from(n % 9)]).collect();
            for (seq, body) in (1..).zip(&all) {
                bodies.push(seq, body);
            }
            let rows = bodies.finish();
            assert!(rows.iter().map(|row| row.seq).eq(1..=200));
            assert!(rows.iter().map(|row| &row.body).eq(&all));
        }
    }

    /// A small body keeps few others in memory, and a large body none.
    #[test]
    fn small_bodies_share_8_kib_and_large_ones_share_nothing() {
        let small = [0; 400];
        let mut bodies = Bodies::new(1 << 20);
        (1..=30).for_each(|seq| bodies.push(seq, &small));
        for (seq, bytes) in [(31, 2048), (32, 2049), (33, 400)] {
            bodies.push(seq, &vec![0; bytes]);
        }
        let rows = bodies.finish();
        let next_to = |rows: &[Row]| rows[0].body.as_ptr_range().end == rows[1].body.as_ptr();
        let ends: Vec<u64> =
            rows.windows(2).filter(|rows| !next_to(rows)).map(|rows| rows[0].seq).collect();
        assert_eq!(ends, [20, 31, 32]);
        let alone: Vec<u64> =
            rows.iter().filter(|row| row.body.is_unique()).map(|row| row.seq).collect();
        assert_eq!(alone, [32, 33]);
    }
}
