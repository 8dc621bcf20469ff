//! The table of bars.

use super::openings;
use super::runner::{BARE, BEFORE, BLOCKING, DISK, GATHERED, OURS, RUSQLITE, TMPFS};
use crate::results::Results;
use crate::values::Short;
use anyhow::Result;
use std::path::Path;

/// A row: a value for the earlier build and for this one, and the bar.
struct Row {
    name: &'static str,
    before: Option<f64>,
    ours: Option<f64>,
    bar: Bar,
}

#[derive(Clone, Copy)]
enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

use Bar::{AtLeast, AtMost};

/// Prints the table of the results in a file.
pub(crate) fn print_file(path: &Path) -> Result<()> {
    print(&Results::read(path)?);
    Ok(())
}

/// The medians of the peers, the openings, and the bars, as Markdown.
pub(super) fn print(results: &Results) {
    print_peers(results);
    print_openings(results);
    print_bars(results);
}

fn shown(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| Short(value).to_string())
}

fn print_line(name: &str, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<_> = cells.into_iter().collect();
    println!("| {name} | {} |", cells.join(" | "));
}

fn print_peers(results: &Results) {
    let peers = [BEFORE, OURS, BARE, RUSQLITE, BLOCKING, GATHERED];
    println!();
    print_line("medians", peers.map(str::to_owned));
    println!("|---|{}", "---|".repeat(peers.len()));
    for (name, figure, place, value) in [
        ("lone append, disk, µs", "lone", DISK, "p50_us"),
        ("lone append, tmpfs, µs", "lone", TMPFS, "p50_us"),
        ("lone append, bytes written", "lone", DISK, "bytes"),
        ("64 tasks, disk, µs per append", "64-tasks", DISK, "us_each"),
        ("64 tasks, tmpfs, µs per append", "64-tasks", TMPFS, "us_each"),
        ("sustained, appends per second", "sustained", DISK, "appends_per_s"),
        ("sustained, bytes per append", "sustained", DISK, "bytes"),
        ("sustained, file / bodies", "sustained", DISK, "file_per_bodies"),
        ("with deletes, appends per second", "deletes", DISK, "appends_per_s"),
        ("with deletes, bytes per append", "deletes", DISK, "bytes"),
        ("with deletes, file / bodies", "deletes", DISK, "file_per_bodies"),
    ] {
        print_line(name, peers.map(|peer| shown(results.medians(figure, place, peer).get(value))));
    }
}

fn print_openings(results: &Results) {
    println!("\n| opening, ms | opened | first page | first append | first creation | log MB |");
    println!("|---|---|---|---|---|---|");
    for size in [100, 1_000, 4_000] {
        for (end, clean) in [("closed", true), ("kill -9", false)] {
            for peer in [BEFORE, OURS] {
                let values = results.medians(&openings::name(size, clean), DISK, peer);
                let names = ["opened_ms", "read_ms", "appended_ms", "created_ms", "log_mb"];
                let cells = names.map(|name| shown(values.get(name)));
                print_line(&format!("{size} MB, {end}, {peer}"), cells);
            }
        }
    }
}

fn print_bars(results: &Results) {
    println!("\n| figure | before | ours | bar | verdict |\n|---|---|---|---|---|");
    for Row { name, before, ours, bar } in rows(results).into_iter().chain(reply_rows(results)) {
        let (bar, met) = match bar {
            AtMost(most) => (format!("≤ {}", Short(most)), ours.map(|ours| ours <= most)),
            AtLeast(least) => (format!("≥ {}", Short(least)), ours.map(|ours| ours >= least)),
        };
        let verdict = met.map_or("not measured", |met| if met { "met" } else { "**missed**" });
        println!("| {name} | {} | {} | {bar} | {verdict} |", shown(before), shown(ours));
    }
}

fn rows(results: &Results) -> Vec<Row> {
    let get = |figure: &str, place: &str, peer: &str, value: &str| {
        results.medians(figure, place, peer).get(value)
    };
    // This value of ours, and of the earlier build.
    let plain = |name, figure: &str, value: &str, bar| Row {
        name,
        before: get(figure, DISK, BEFORE, value),
        ours: get(figure, DISK, OURS, value),
        bar,
    };
    // Ours divided by the other.
    let ratio = |name, (figure, place, value): (&str, &str, &str), other: &str, bar| {
        let other = get(figure, place, other, value);
        let by = |peer: &str| Some(get(figure, place, peer, value)? / other?);
        Row { name, before: by(BEFORE), ours: by(OURS), bar }
    };
    // The other divided by ours.
    let inverse = |name, of: (&str, &str, &str), other: &str, bar| {
        let row = ratio(name, of, other, bar);
        Row { before: row.before.map(f64::recip), ours: row.ours.map(f64::recip), ..row }
    };
    // Two values of the same peer.
    let within = |name, figure: &str, above: &str, below: &str, bar| {
        let of =
            |peer: &str| Some(get(figure, DISK, peer, above)? / get(figure, DISK, peer, below)?);
        Row { name, before: of(BEFORE), ours: of(OURS), bar }
    };
    let (closed, killed) = (openings::name(1_000, true), openings::name(1_000, false));
    // A second for each GB of the log.
    let log = get(&killed, DISK, OURS, "log_mb").unwrap_or_default();
    vec![
        ratio(
            "lone append, disk: ours / rusqlite by spawn_blocking",
            ("lone", DISK, "p50_us"),
            BLOCKING,
            AtMost(1.0),
        ),
        ratio("lone append, disk: ours / bare log", ("lone", DISK, "p50_us"), BARE, AtMost(1.25)),
        ratio(
            "lone append, tmpfs: ours / rusqlite by spawn_blocking",
            ("lone", TMPFS, "p50_us"),
            BLOCKING,
            AtMost(1.0),
        ),
        inverse(
            "64 tasks, disk: rusqlite by spawn_blocking / ours",
            ("64-tasks", DISK, "us_each"),
            BLOCKING,
            AtLeast(25.0),
        ),
        inverse(
            "64 tasks, tmpfs: rusqlite by spawn_blocking / ours",
            ("64-tasks", TMPFS, "us_each"),
            BLOCKING,
            AtLeast(11.0),
        ),
        ratio(
            "sustained, appends per second: ours / rusqlite, 64 per transaction",
            ("sustained", DISK, "appends_per_s"),
            GATHERED,
            AtLeast(4.0),
        ),
        plain("sustained, bytes written per append", "sustained", "bytes", AtMost(1_500.0)),
        plain("the same with deletes at 100 messages", "deletes", "bytes", AtMost(1_700.0)),
        plain("lone append, bytes written", "lone", "bytes", AtMost(4_600.0)),
        plain("sustained, file / bodies", "sustained", "file_per_bodies", AtMost(1.6)),
        plain("1 GB, closed: first read and append, ms", &closed, "appended_ms", AtMost(300.0)),
        plain(
            "1 GB, kill -9: first read and append, ms",
            &killed,
            "appended_ms",
            AtMost(300.0 + log),
        ),
        plain("1 GB, closed: first creation, ms", &closed, "created_ms", AtMost(2_000.0)),
        plain("1 GB, kill -9: first creation, ms", &killed, "created_ms", AtMost(2_000.0)),
        within(
            "lone append, disk: p99 during a flush / without",
            "flush",
            "during_p99_us",
            "without_p99_us",
            AtMost(3.0),
        ),
        plain("memory beside redb's cache, MiB", "memory", "highest_mib", AtMost(64.0)),
        plain(
            "create, append, delete with flushes, bytes per session",
            "cycle-64-callers-flushes",
            "bytes",
            AtMost(12_000.0),
        ),
        within(
            "the same within one memtable, bytes / bytes of the log entries",
            "cycle-64-callers",
            "bytes",
            "wchar_of_steps",
            AtMost(4.0),
        ),
    ]
}

fn reply_rows(results: &Results) -> impl Iterator<Item = Row> {
    let rows = [
        ("64 replies: p50 until a token is shown, µs", "shown_p50_us", AtMost(8_000.0)),
        ("the same, p99", "shown_p99_us", AtMost(50_000.0)),
        ("64 replies: syncs per token", "syncs", AtMost(1.0 / 16.0)),
        ("64 replies: bytes of the log per token", "log_bytes", AtMost(120.0)),
        ("64 replies: bytes written per token", "kernel_bytes", AtMost(350.0)),
    ];
    rows.into_iter().map(|(name, value, bar)| {
        let of = |peer: &str| results.medians("replies", DISK, peer).get(value);
        Row { name, before: of(BEFORE), ours: of(OURS), bar }
    })
}
