//! Variables that children must not inherit.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Set by `cargo run` and rustup's wrappers for this very process: a child that compiles something
/// (a build script, a proc macro, another `cargo`) would take them for its own and rebuild, or
/// build the wrong package.
const OURS: [&str; 8] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_PRIMARY_PACKAGE",
    "RUSTC",
    "RUSTDOC",
];

/// Removes them, and keeps a person's settings (`CARGO_HOME`, `CARGO_TARGET_DIR`, `CARGO_NET_*`,
/// `RUSTFLAGS`, …).
pub(super) fn forget_cargo(command: &mut Command, target: &Path) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_ours) {
            command.env_remove(name);
        }
    }
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        match without_cargo_folders(&path, target) {
            Some(rest) => command.env("LD_LIBRARY_PATH", rest),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
}

fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_BIN_EXE_")
}

/// The search path less the folders that `cargo run` put in front; `None` when nothing else was
/// there.
fn without_cargo_folders(path: &OsString, target: &Path) -> Option<OsString> {
    let kept: Vec<_> = std::env::split_paths(path)
        .filter(|folder| !folder.starts_with(target))
        .filter(|folder| !folder.components().any(|part| part.as_os_str() == "rustlib"))
        .filter(|folder| !folder.components().any(|part| part.as_os_str() == "toolchains"))
        .filter(|folder| !folder.as_os_str().is_empty())
        .collect();
    if kept.is_empty() { None } else { std::env::join_paths(kept).ok() }
}

#[cfg(test)]
mod tests {
    use super::{Path, is_ours, without_cargo_folders};

    #[test]
    fn the_variables_of_cargo_are_forgotten_and_settings_are_kept() {
        for ours in ["CARGO", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "RUSTC"] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "PATH",
        ] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }

    #[test]
    fn only_cargos_own_library_folders_leave_the_search_path() {
        let target = Path::new("/repo/target");
        let all = "/repo/target/debug/deps:/opt/lib:/h/.rustup/toolchains/stable/lib".into();
        assert_eq!(without_cargo_folders(&all, target), Some("/opt/lib".into()));
        assert_eq!(without_cargo_folders(&"/repo/target/debug".into(), target), None);
    }
}
