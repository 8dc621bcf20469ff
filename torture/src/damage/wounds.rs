//! Ways to damage a file.

use super::sample::Sample;
use fastrand::Rng;

const PAGE: usize = 4096;

/// One kind of damage, and the damaged file.
pub(super) fn wound(sample: &Sample, rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let mut file = sample.file.clone();
    let kind = match rng.u8(0..8) {
        0..3 => {
            for _ in 0..rng.usize(1..=3) {
                let at = any_used(sample, rng) + rng.usize(0..512);
                file[at.min(sample.file.len() - 1)] ^= 1 << rng.u8(0..8);
            }
            "flipped_bits"
        }
        3 => {
            let at = any_used(sample, rng);
            let end = (at + rng.usize(1..512)).min(file.len());
            rng.fill(&mut file[at..end]);
            "scribbled"
        }
        4 => {
            let short = [1, 8, 9, 64, 319, 320, 512, 4095, 4096, 8192];
            let cut = if rng.bool() { short[rng.usize(0..short.len())] } else { rng.usize(1..file.len()) };
            file.truncate(cut);
            "cut_short"
        }
        5 => {
            let (a, b) = (page(sample, rng), page(sample, rng));
            let (one, other) = (file[a..a + PAGE].to_vec(), file[b..b + PAGE].to_vec());
            file[a..a + PAGE].copy_from_slice(&other);
            file[b..b + PAGE].copy_from_slice(&one);
            "swapped_pages"
        }
        6 => {
            let at = page(sample, rng);
            file[at..at + PAGE].fill(0);
            "zeroed_page"
        }
        _ => {
            let at = page(sample, rng);
            match sample.earlier.get(at..at + PAGE) {
                Some(earlier) => file[at..at + PAGE].copy_from_slice(earlier),
                None => file[at..at + PAGE].fill(0xff),
            }
            "stale_page"
        }
    };
    (kind, file)
}

fn any_used(sample: &Sample, rng: &mut Rng) -> usize {
    sample.used[rng.usize(0..sample.used.len())]
}

/// A whole page that holds something.
fn page(sample: &Sample, rng: &mut Rng) -> usize {
    let at = any_used(sample, rng) / PAGE * PAGE;
    at.min((sample.file.len() / PAGE - 1) * PAGE)
}
