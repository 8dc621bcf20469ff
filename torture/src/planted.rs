//! Shows that each campaign finds a bug that was planted for it. Only in a build with `--cfg planted`.

use anyhow::{Result, ensure};
use std::process::{Command, Stdio};

/// A bug, and the campaign that has to find it.
const BUGS: [(&str, &str); 14] = [
    ("skip-the-sync", "power-loss"),
    ("acknowledge-before-durable", "power-loss"),
    ("acknowledge-before-durable", "kill"),
    ("believe-the-log", "power-loss"),
    ("drop-the-log-unfolded", "model"),
    ("deny-what-is-unknown", "io-faults"),
    ("forget-staged-calls", "io-faults"),
    ("publish-before-commit", "io-faults"),
    ("drop-the-row-checksum", "damage"),
    ("eviction-replaces-slot", "histories"),
    ("publish-before-commit", "histories"),
    ("expire-nothing", "model"),
    ("expire-nothing", "long"),
    ("log-what-is-written", "security"),
];

/// Runs each campaign with its bug, for up to five minutes. `true` if all were found.
pub(crate) fn run(seed: u64) -> Result<bool> {
    ensure!(cfg!(planted), "this build has no planted bugs; run cargo xtask torture --planted");
    let mut missed = 0;
    for (bug, campaign) in BUGS {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--only", campaign, "--minutes", "5", "--seed", &seed.to_string()]);
        let output = command.env("DURABLE_SESSION_PLANTED", bug).stderr(Stdio::null()).output()?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(told) = output.lines().find_map(|line| line.strip_prefix("FAILED ")) {
            let told: String = told.chars().take(300).collect();
            println!("planted {bug}: found, seed={seed}: {told}");
        } else {
            missed += 1;
            println!("planted {bug}: MISSED by {campaign}, seed={seed}");
        }
    }
    println!("planted bugs: {} of {} found", BUGS.len() - missed, BUGS.len());
    Ok(missed == 0)
}
