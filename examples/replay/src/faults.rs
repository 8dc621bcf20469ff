//! Telling what is wrong with a stored conversation.

/// How a stored conversation differs from the one in the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Messages of the file that are not stored.
    pub(crate) lost: u64,
    /// Stored messages beyond those of the file: second copies, and what the file does not have at
    /// all.
    pub(crate) duplicated: u64,
    /// The fewest messages that would have to move for the rest to be in the file's order.
    pub(crate) reordered: u64,
}

impl Faults {
    /// Nothing is wrong.
    pub(crate) fn none(self) -> bool {
        self == Self::default()
    }

    /// Adds those of another conversation.
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }

    /// Compares what is stored with what the file has, both in order.
    pub(crate) fn between<M: PartialEq>(file: &[M], stored: &[M]) -> Self {
        let same_start = file.iter().zip(stored).take_while(|(a, b)| a == b).count();
        let (file, stored) = (&file[same_start..], &stored[same_start..]);
        let same_end = file.iter().rev().zip(stored.iter().rev()).take_while(|(a, b)| a == b).count();
        let (file, stored) = (&file[..file.len() - same_end], &stored[..stored.len() - same_end]);

        // A message that occurs more than once takes its places from the first on, which is the
        // kindest reading.
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
    use super::*;

    fn faults(file: &str, stored: &str) -> (u64, u64, u64) {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        let Faults { lost, duplicated, reordered } = Faults::between(&letters(file), &letters(stored));
        (lost, duplicated, reordered)
    }

    #[test]
    fn equal_conversations_have_no_faults() {
        assert!(Faults::between(&["a", "b", "a"], &["a", "b", "a"]).none());
        assert_eq!(faults("", ""), (0, 0, 0));
    }

    #[test]
    fn what_is_missing_is_lost() {
        assert_eq!(faults("abcd", "abd"), (1, 0, 0));
        assert_eq!(faults("abab", "ab"), (2, 0, 0));
        assert_eq!(faults("abcd", ""), (4, 0, 0));
    }

    #[test]
    fn a_second_copy_is_duplicated_and_so_is_a_stranger() {
        assert_eq!(faults("abcd", "abbcd"), (0, 1, 0));
        assert_eq!(faults("abcd", "abcdx"), (0, 1, 0));
        assert_eq!(faults("aab", "aaab"), (0, 1, 0));
    }

    #[test]
    fn a_swap_is_reordered_and_nothing_else() {
        assert_eq!(faults("abcd", "abdc"), (0, 0, 1));
        assert_eq!(faults("abcd", "dabc"), (0, 0, 1));
        assert_eq!(faults("abcd", "dcba"), (0, 0, 3));
    }

    #[test]
    fn an_altered_message_is_lost_and_a_stranger_in_its_place() {
        assert_eq!(faults("abcd", "abXd"), (1, 1, 0));
    }
}
