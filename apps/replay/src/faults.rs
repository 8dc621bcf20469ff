//! Counts the differences between a stored conversation and the file.

/// How a stored conversation differs from the one in the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Messages of the file that are not stored.
    pub(crate) lost: u64,
    /// Stored messages beyond the file's: second copies, and messages that the file does not have.
    pub(crate) duplicated: u64,
    /// The fewest messages that would have to move for the rest to be in the file's order.
    pub(crate) reordered: u64,
}

impl Faults {
    /// Whether the conversations are equal.
    pub(crate) fn none(self) -> bool {
        self == Self::default()
    }

    /// Adds the faults of another conversation.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }

    /// Compares a conversation of the file with the stored one.
    pub(crate) fn between<M: PartialEq>(file: &[M], stored: &[M]) -> Self {
        let same_start = file.iter().zip(stored).take_while(|(a, b)| a == b).count();
        let (file, stored) = (&file[same_start..], &stored[same_start..]);
        let same_end =
            file.iter().rev().zip(stored.iter().rev()).take_while(|(a, b)| a == b).count();
        let (file, stored) = (&file[..file.len() - same_end], &stored[..stored.len() - same_end]);

        // A message that occurs several times takes its places in order, which counts the fewest
        // faults.
        let mut taken = vec![false; file.len()];
        let mut places = Vec::new();
        for message in stored {
            let place = (0..file.len()).find(|&place| !taken[place] && file[place] == *message);
            if let Some(place) = place {
                taken[place] = true;
                places.push(place);
            }
        }
        Self {
            lost: count(file.len() - places.len()),
            duplicated: count(stored.len() - places.len()),
            reordered: count(places.len() - longest_increasing(&places)),
        }
    }
}

fn count(n: usize) -> u64 {
    n as u64
}

/// The length of the longest increasing subsequence.
fn longest_increasing(places: &[usize]) -> usize {
    let mut ends: Vec<usize> = Vec::new();
    for &place in places {
        match ends.partition_point(|&end| end < place) {
            at if at == ends.len() => ends.push(place),
            at => ends[at] = place,
        }
    }
    ends.len()
}

#[cfg(test)]
mod tests {
    use super::Faults;

    fn faults(file: &str, stored: &str) -> (u64, u64, u64) {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        let Faults { lost, duplicated, reordered } =
            Faults::between(&letters(file), &letters(stored));
        (lost, duplicated, reordered)
    }

    #[test]
    fn equal_conversations_have_no_faults() {
        assert!(Faults::between(&["a", "b", "a"], &["a", "b", "a"]).none());
        assert_eq!(faults("", ""), (0, 0, 0));
    }

    #[test]
    fn a_missing_message_is_lost() {
        assert_eq!(faults("abcd", "abd"), (1, 0, 0));
        assert_eq!(faults("abab", "ab"), (2, 0, 0));
        assert_eq!(faults("abcd", ""), (4, 0, 0));
    }

    #[test]
    fn second_copies_and_messages_from_elsewhere_are_duplicated() {
        assert_eq!(faults("abcd", "abbcd"), (0, 1, 0));
        assert_eq!(faults("abcd", "abcdx"), (0, 1, 0));
        assert_eq!(faults("aab", "aaab"), (0, 1, 0));
    }

    #[test]
    fn a_swap_is_reordered_only() {
        assert_eq!(faults("abcd", "abdc"), (0, 0, 1));
        assert_eq!(faults("abcd", "dabc"), (0, 0, 1));
        assert_eq!(faults("abcd", "dcba"), (0, 0, 3));
    }

    #[test]
    fn an_altered_message_is_one_lost_and_one_duplicated() {
        assert_eq!(faults("abcd", "abXd"), (1, 1, 0));
    }
}
