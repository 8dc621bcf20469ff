//! Ways to damage the files of a store.

use super::sample::Sample;
use fastrand::Rng;
use testkit::disk::{Content, File, Files};

const PAGE: usize = 4096;

/// Another partner of a file.
pub(super) const PARTNERS: [&str; 6] =
    ["no_log", "lost_segment", "foreign_log", "foreign_file", "older_file", "older_log"];

/// A page of an earlier time.
pub(super) const STALE: &str = "stale_page";

/// One kind of damage, and the damaged files.
pub(super) fn damage(sample: &Sample, rng: &mut Rng) -> (&'static str, Files) {
    if rng.u8(0..8) == 0 {
        let kind = PARTNERS[rng.usize(0..PARTNERS.len())];
        return (kind, partner(sample, kind, rng));
    }
    let mut files = sample.files.clone();
    let (file, block) = any_used(sample, rng);
    let mut bytes = files.remove(&file).unwrap_or_default().to_vec();
    let page = |at: usize| (at / PAGE * PAGE).min((bytes.len() / PAGE).saturating_sub(1) * PAGE);
    let (at, other) = (page(block), page(other_block(sample, file, rng)));
    let end = (at + PAGE).min(bytes.len());
    let (kind, file, bytes) = match rng.u8(0..10) {
        0..3 => {
            flip(&mut bytes, block, 512, rng);
            let more = rng.usize(0..3);
            for _ in 0..more {
                let again = other_block(sample, file, rng);
                flip(&mut bytes, again, 512, rng);
            }
            (if more == 0 { "flipped_bit" } else { "flipped_bits" }, file, bytes)
        }
        3 => {
            let end = (block + rng.usize(1..512)).min(bytes.len());
            rng.fill(&mut bytes[block..end]);
            ("scribbled", file, bytes)
        }
        4 => {
            let short = [1, 8, 9, 64, 319, 320, 512, 4095, 4096, 8192];
            let short = short[rng.usize(0..short.len())].min(bytes.len() - 1);
            let cut = if rng.bool() { short } else { rng.usize(1..bytes.len()) };
            bytes.truncate(cut);
            ("cut_short", file, bytes)
        }
        5 => {
            let (one, two) = (bytes[at..end].to_vec(), bytes[other..][..end - at].to_vec());
            bytes[at..end].copy_from_slice(&two);
            bytes[other..][..end - at].copy_from_slice(&one);
            ("swapped_pages", file, bytes)
        }
        6 => {
            bytes[at..end].fill(0);
            ("zeroed_page", file, bytes)
        }
        7 => {
            let earlier = sample.earlier.get(&file).map_or_else(Vec::new, Content::to_vec);
            match earlier.get(at..end) {
                Some(earlier) => bytes[at..end].copy_from_slice(earlier),
                None => bytes[at..end].fill(0xff),
            }
            (STALE, file, bytes)
        }
        // A bit in the last write to the log, or soon before it.
        _ => match sample.tail.last() {
            Some((last, offset, len)) if sample.files.contains_key(&last) => {
                files.insert(file, bytes.into());
                let mut bytes = files.remove(&last).unwrap_or_default().to_vec();
                let from = if rng.bool() { offset } else { offset.saturating_sub(600) };
                flip(&mut bytes, from, offset + len - from, rng);
                ("flipped_end", last, bytes)
            }
            _ => {
                flip(&mut bytes, block, 512, rng);
                ("flipped_bit", file, bytes)
            }
        },
    };
    files.insert(file, bytes.into());
    (kind, files)
}

/// Flips a bit in so many bytes.
fn flip(bytes: &mut [u8], from: usize, among: usize, rng: &mut Rng) {
    let at = (from + rng.usize(0..among.max(1))).min(bytes.len() - 1);
    bytes[at] ^= 1 << rng.u8(0..8);
}

/// A block of redb's file, or one of a segment if the log has any.
fn any_used(sample: &Sample, rng: &mut Rng) -> (File, usize) {
    let main = rng.bool();
    let wanted = |(file, _): &&(File, usize)| (*file == File::Main) == main;
    let found = rng.choice(sample.used.iter().filter(wanted).copied().collect::<Vec<_>>());
    found.unwrap_or_else(|| sample.used[rng.usize(0..sample.used.len())])
}

fn other_block(sample: &Sample, file: File, rng: &mut Rng) -> usize {
    let blocks = sample.used.iter().filter(|(used, _)| *used == file).map(|(_, block)| *block);
    rng.choice(blocks.collect::<Vec<_>>()).unwrap_or_default()
}

/// The files with another partner.
fn partner(sample: &Sample, kind: &str, rng: &mut Rng) -> Files {
    let is_main = |file: &File| *file == File::Main;
    let mut files = sample.files.clone();
    let (main, log) = match kind {
        "no_log" => (&sample.files, &Files::new()),
        "lost_segment" => {
            let segments: Vec<_> = files.keys().copied().filter(|file| !is_main(file)).collect();
            rng.choice(segments).map(|segment| files.remove(&segment));
            return files;
        }
        "foreign_log" => (&sample.files, &sample.other),
        "foreign_file" => (&sample.other, &sample.files),
        "older_file" => (&sample.earlier, &sample.files),
        _ => (&sample.files, &sample.earlier),
    };
    let mut files = main.clone();
    files.retain(|file, _| is_main(file));
    let segments = log.iter().filter(|(file, _)| !is_main(file));
    files.extend(segments.map(|(file, content)| (*file, content.clone())));
    files
}
