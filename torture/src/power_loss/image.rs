//! The files as a power loss leaves them.

use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use testkit::disk::{Change, Content, Event, File, Files};

/// Where in the log the power is lost: before a random sync of any file, with some or all of the
/// changes before it made.
pub(super) fn moment(log: &[Event], rng: &mut Rng) -> usize {
    let syncs: Vec<usize> = log
        .iter()
        .enumerate()
        .filter(|(_, event)| matches!(event, Event::Sync(_)))
        .map(|(at, _)| at)
        .collect();
    if syncs.is_empty() {
        return rng.usize(0..=log.len());
    }
    let n = rng.usize(0..syncs.len());
    let first = if n == 0 { 0 } else { syncs[n - 1] + 1 };
    match rng.u8(0..4) {
        0 => rng.usize(first..=syncs[n]),
        // Just after the sync: the changes that it acknowledged have to be there.
        1 => syncs[n] + 1,
        _ => syncs[n],
    }
}

/// The files after a power loss at `cut`. Of each there is everything before its last sync, and
/// some of the changes after it; each file has its own choice of them.
pub(super) fn image(base: &Files, log: &[Event], cut: usize, rng: &mut Rng) -> Files {
    let log = &log[..cut];
    let mut names: BTreeSet<File> = base.keys().copied().collect();
    names.extend(log.iter().map(Event::file));
    let mut files = BTreeMap::new();
    for name in names {
        let events: Vec<&Event> = log.iter().filter(|event| event.file() == name).collect();
        if let Some(content) = file(base.get(&name), &events, rng) {
            files.insert(name, content);
        }
    }
    files
}

/// One of the files: unsynced changes are kept, dropped, in another order, or torn between sectors.
fn file(base: Option<&Content>, events: &[&Event], rng: &mut Rng) -> Option<Content> {
    let synced = events.iter().rposition(|event| matches!(event, Event::Sync(_)));
    let (synced, unsynced) = events.split_at(synced.map_or(0, |at| at + 1));
    let mut file = base.cloned();
    changes(synced).for_each(|change| change.apply(&mut file));
    let mut unsynced: Vec<&Change> = changes(unsynced).collect();
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
            // Little more than the last change: the header without the pages it points to.
            3 if n != last && rng.u8(..) >= kept / 4 => {}
            1..=3 => change.apply(&mut file),
            _ => change.apply_sectors(&mut file, |_| rng.u8(..) <= kept),
        }
    }
    file
}

fn changes<'a>(events: &'a [&Event]) -> impl Iterator<Item = &'a Change> {
    events.iter().filter_map(|event| match event {
        Event::Change(_, change) => Some(change),
        Event::Sync(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{image, moment};
    use fastrand::Rng;
    use testkit::disk::{Change, Event, File, Files};

    fn write(file: File, at: u64, byte: u8) -> Event {
        Event::Change(file, Change::Write(at, vec![byte; 512].into()))
    }

    #[test]
    fn of_each_file_its_synced_changes_are_there_and_the_others_by_chance() {
        let (one, two) = (File::Segment(1), File::Segment(2));
        let log = [
            Event::Change(one, Change::Create),
            Event::Change(one, Change::Length(1024)),
            Event::Sync(one),
            Event::Change(two, Change::Create),
            write(one, 0, 1),
            write(File::Main, 0, 9),
            Event::Sync(one),
            write(one, 512, 2),
        ];
        let base = Files::from([(File::Main, vec![0; 512].into())]);
        let mut rng = Rng::with_seed(1);
        let (mut mains, mut seconds, mut tails) = ([0; 2], [0; 2], [0; 2]);
        for _ in 0..200 {
            let files = image(&base, &log, log.len(), &mut rng);
            let segment = files[&one].to_vec();
            assert!(segment.len() == 1024 && segment[..512] == [1; 512]);
            mains[usize::from(files[&File::Main].holds(&[9; 512]))] += 1;
            seconds[usize::from(files.contains_key(&two))] += 1;
            tails[usize::from(segment[512] == 2)] += 1;
        }
        assert!([mains, seconds, tails].iter().all(|[no, yes]| *no > 20 && *yes > 20));
        assert!((0..100).all(|_| moment(&log, &mut rng) <= log.len()));
    }
}
