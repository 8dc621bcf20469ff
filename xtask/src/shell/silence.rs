//! A program that prints nothing for long: what it waits in, and its end.
//!
//! A test that hangs would otherwise take the whole run with it, and nobody would learn which.

use std::process::Command;
use std::time::Duration;

/// How long a program may print nothing. The longest test that is silent takes a third of it on a
/// busy machine.
pub(super) const LIMIT: Duration = Duration::from_mins(15);

/// Shows the threads of the programs that `parent` runs (a test's thread has the name of the test)
/// and ends these programs; `parent` goes on with its next ones. `false` if there was none to end.
pub(super) fn end_children(parent: u32, name: &str) -> bool {
    println!(
        "   {name} printed nothing for {} minutes; its programs are ended:",
        LIMIT.as_secs() / 60
    );
    let parent = parent.to_string();
    for child in printed("pgrep", &["-P", &parent]).split_whitespace() {
        let threads = ["-L", "-p", child, "-o", "pid,lwp,stat,wchan:24,comm"];
        let stacks = ["-p", child, "-batch", "-ex", "thread apply all backtrace 16"];
        for told in [printed("ps", &threads), printed("gdb", &stacks)] {
            told.lines().for_each(|line| println!("     {line}"));
        }
    }
    Command::new("pkill").args(["-KILL", "-P", &parent]).status().is_ok_and(|ended| ended.success())
}

/// What a program prints; nothing if it is not there.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| String::new(), |told| String::from_utf8_lossy(&told.stdout).into_owned())
}
