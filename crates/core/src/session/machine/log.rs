//! The chunks of a reply in memory.

/// Chunks from number 0 on, one after the other in one text.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChunkLog {
    text: String,
    /// Where each chunk ends in `text`.
    ends: Vec<usize>,
}

impl ChunkLog {
    pub(crate) fn push(&mut self, chunk: &str) {
        self.text.push_str(chunk);
        self.ends.push(self.text.len());
    }

    /// The number of chunks.
    pub(crate) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    /// The bytes of all chunks.
    pub(crate) fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    /// The chunk of this number.
    pub(crate) fn get(&self, number: u64) -> Option<&str> {
        let at = usize::try_from(number).ok()?;
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.text.get(start..end)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|number| self.get(number))
    }
}

#[cfg(test)]
mod tests {
    use super::ChunkLog;

    #[test]
    fn chunks_are_found_by_their_number() {
        let mut log = ChunkLog::default();
        assert_eq!(log.get(0), None);
        for chunk in ["\"a\"", "", "\"é\""] {
            log.push(chunk);
        }
        assert_eq!((log.len(), log.bytes()), (3, 7));
        assert_eq!(log.iter().collect::<Vec<_>>(), ["\"a\"", "", "\"é\""]);
        assert_eq!(log.get(3), None);
    }
}
