//! Which process holds a file.

use std::path::Path;

/// The process that has locked the file, as far as the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn by(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    let device = file.dev();
    // As glibc's major() and minor() take a device number apart.
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    let wanted = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // A line: "1: FLOCK ADVISORY WRITE 4321 fd:01:1234 0 EOF".
    let pid = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == wanted)?;
        words.get(at.checked_sub(1)?)?.parse::<u32>().ok()
    })?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
    Some(match name {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    })
}

/// The process that has locked the file, as far as the system tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn by(_: &Path) -> Option<String> {
    None
}
