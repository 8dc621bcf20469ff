//! Reading the output of `strace -f -y`.

use std::collections::HashMap;
use std::fmt;

/// The system calls of a process, in the order in which they began.
pub(super) struct Trace(Vec<Call>);

/// A system call. Times are numbers of lines.
struct Call {
    name: String,
    /// The first argument: a file, a socket.
    file: String,
    /// The other arguments and the result, as `strace` writes them.
    rest: String,
    began: usize,
    ended: Option<usize>,
}

/// The lines of a message's way into the log and back to its client.
pub(super) struct Path {
    file: String,
    written: usize,
    synced: usize,
    answered: usize,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, written, synced, answered } = self;
        write!(f, "written to {file} (line {written}), synced ({synced}), answered ({answered})")
    }
}

impl Trace {
    pub(super) fn read(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        // By thread.
        let mut unfinished: HashMap<&str, usize> = HashMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((thread, line)) = line.split_once(' ') else { continue };
            let line = line.trim_start();
            if let Some(resumed) = line.strip_prefix("<... ") {
                let Some(call) = unfinished.remove(thread).and_then(|at| calls.get_mut(at)) else {
                    continue;
                };
                call.rest.push_str(resumed.split_once("resumed>").map_or("", |(_, rest)| rest));
                call.ended = Some(number);
            } else if let Some((name, arguments)) = line.split_once('(') {
                let (arguments, ended) = match arguments.strip_suffix("<unfinished ...>") {
                    Some(begun) => (begun, None),
                    None => (arguments, Some(number)),
                };
                if ended.is_none() {
                    unfinished.insert(thread, calls.len());
                }
                let file_ends = arguments.find([',', ')']).unwrap_or(arguments.len());
                let (file, rest) = arguments.split_at(file_ends);
                let (name, file, rest) =
                    (name.to_owned(), file.trim_end().to_owned(), rest.to_owned());
                calls.push(Call { name, file, rest, began: number, ended });
            }
        }
        Self(calls)
    }

    /// The way of the message with this text, if it was written to the log, then synced, and then
    /// answered; otherwise the step that is missing.
    pub(super) fn path_of(&self, text: &str) -> Result<Path, String> {
        let has = |call: &&Call| call.rest.contains(text);
        let log = self.0.iter().find(|call| call.file.contains("-wal.") && has(call));
        let log = log.ok_or("it is in no segment of the log")?;
        let written = log.end().ok_or("the write to the log did not succeed")?;
        let answer = self.0.iter().find(|call| call.is_to_a_client() && has(call));
        let answered = answer.ok_or("there is no answer")?.began;
        let synced = self
            .0
            .iter()
            .filter(|call| call.is_sync() && call.file == log.file && call.began > written)
            .find_map(Call::end)
            .ok_or("the log was not synced after the write")?;
        if synced >= answered {
            return Err(format!(
                "the answer began (line {answered}) before the log was synced (line {synced})"
            ));
        }
        let file = log.file.rsplit('/').next().unwrap_or_default().trim_end_matches('>').to_owned();
        Ok(Path { file, written, synced, answered })
    }
}

impl Call {
    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync")
    }

    fn is_to_a_client(&self) -> bool {
        self.file.contains("<socket:") || self.file.contains("<TCP")
    }

    /// When it ended, if it succeeded.
    fn end(&self) -> Option<usize> {
        let (_, result) = self.rest.rsplit_once(" = ")?;
        self.ended.filter(|_| !result.starts_with('-') && !result.starts_with('?'))
    }
}

#[cfg(test)]
mod tests {
    use super::Trace;

    const WRITE: &str =
        r#"7  pwrite64(11</s/chat.redb-wal.1>, "\325{\"content\":\"hi\"}", 64, 512) = 64"#;
    const SYNC: &str = "7  fdatasync(11</s/chat.redb-wal.1>) = 0";
    const ANSWER: &str =
        r#"9  writev(13<socket:[43]>, [{iov_base="{\"content\":\"hi\"}", iov_len=9}], 1) = 9"#;

    fn path(lines: &[&str]) -> Result<String, String> {
        Trace::read(&lines.join("\n")).path_of("hi").map(|path| path.to_string())
    }

    #[test]
    fn a_message_that_is_written_synced_and_answered_holds() {
        let lines = "written to chat.redb-wal.1 (line 1), synced (2), answered (3)";
        assert_eq!(path(&[WRITE, SYNC, ANSWER]).as_deref(), Ok(lines));
    }

    #[test]
    fn calls_of_several_threads_are_told_apart() {
        let write = WRITE.replace(") = 64", " <unfinished ...>");
        let lines = [
            &write,
            "9  fdatasync(12</s/other> <unfinished ...>",
            "7  <... pwrite64 resumed>) = 64",
            "7  fdatasync(11</s/chat.redb-wal.1> <unfinished ...>",
            "9  <... fdatasync resumed>) = -1 EIO (Input/output error)",
            "7  <... fdatasync resumed>) = 0",
            ANSWER,
        ];
        let found = "written to chat.redb-wal.1 (line 3), synced (6), answered (7)";
        assert_eq!(path(&lines).as_deref(), Ok(found));
    }

    #[test]
    fn whatever_comes_too_early_or_not_at_all_is_a_failure() {
        let begun = "7  fdatasync(11</s/chat.redb-wal.1> <unfinished ...>";
        let ended = "7  <... fdatasync resumed>) = 0";
        let other = SYNC.replace("-wal.1", "-wal.2");
        let failed = SYNC.replace("= 0", "= -1 EIO (Input/output error)");
        let write_failed = WRITE.replace("= 64", "= -1 ENOSPC (No space left on device)");
        for lines in [
            &[WRITE, ANSWER, SYNC][..],
            &[SYNC, WRITE, ANSWER],
            &[begun, &WRITE.replace("7  ", "8  "), ended, ANSWER],
            &[WRITE, begun, ANSWER, ended],
            &[WRITE, &other, ANSWER],
            &[WRITE, &failed, ANSWER],
            &[&write_failed, SYNC, ANSWER],
            &[WRITE, SYNC],
            &[SYNC, ANSWER],
            &[],
        ] {
            assert!(path(lines).is_err(), "{lines:?}");
        }
    }
}
