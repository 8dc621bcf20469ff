//! The file as a power loss leaves it.

use fastrand::Rng;
use torture_disk::{Change, Event};

/// Where in the log the power is lost: before a random sync, with some or all of the changes before it made.
pub(super) fn moment(log: &[Event], rng: &mut Rng) -> usize {
    let syncs: Vec<usize> =
        log.iter().enumerate().filter(|(_, event)| matches!(event, Event::Sync)).map(|(at, _)| at).collect();
    if syncs.is_empty() {
        return rng.usize(0..=log.len());
    }
    let n = rng.usize(0..syncs.len());
    let first = if n == 0 { 0 } else { syncs[n - 1] + 1 };
    match rng.u8(0..4) {
        0 => rng.usize(first..=syncs[n]),
        // Just after the sync: what was acknowledged by it has to be there.
        1 => syncs[n] + 1,
        _ => syncs[n],
    }
}

/// The file after a power loss at `cut`: everything before the last sync, and of what came after it whatever happened to
/// reach the disk, in whatever order, torn between sectors.
pub(super) fn image(base: &[u8], log: &[Event], cut: usize, rng: &mut Rng) -> Vec<u8> {
    let log = &log[..cut];
    let synced = log.iter().rposition(|event| matches!(event, Event::Sync)).map_or(0, |at| at + 1);
    let mut file = base.to_vec();
    for event in &log[..synced] {
        if let Event::Change(change) = event {
            change.apply(&mut file);
        }
    }
    let mut unsynced: Vec<&Change> = log[synced..]
        .iter()
        .filter_map(|event| if let Event::Change(change) = event { Some(change) } else { None })
        .collect();
    let style = rng.u8(0..6);
    if style == 5 {
        rng.shuffle(&mut unsynced);
    }
    let kept = rng.u8(..);
    let last = unsynced.len().saturating_sub(1);
    for (n, change) in unsynced.into_iter().enumerate() {
        match style {
            // Nothing of it, all of it, or all but one thing.
            0 => {}
            2 if n == usize::from(kept) % (last + 1) => {}
            // Little more than the last thing: the header without what it points to.
            3 if n != last && rng.u8(..) >= kept / 4 => {}
            1..=3 => change.apply(&mut file),
            _ => change.apply_sectors(&mut file, |_| rng.u8(..) <= kept),
        }
    }
    file
}
