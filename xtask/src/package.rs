//! `cargo xtask package`: what would be uploaded, built from nothing but that.

use crate::packages::Packages;
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Packs every published crate and builds each from its packed files, against the others' packed
/// files. `true` if all of them can be published.
pub(crate) fn run(shell: &Shell, packages: &Packages) -> Result<bool> {
    let folder = shell.target().join("package");
    // Cargo keeps the crates that it unpacked from a registry, by version and by the registry's
    // place. The registry of the packed crates is in the build folder. A former run's crates are
    // never taken for this run's when both folders are in a new place each time.
    let stamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?
        .as_millis();
    let packed = folder.join(stamp.to_string());
    // Uncommitted changes are packed, too: this checks what there is.
    let mut command = shell.cargo(["package", "--locked", "--allow-dirty", "--all-features"]);
    for package in packages.published() {
        command.args(["--package", &package.name]);
    }
    command.arg("--target-dir").arg(&packed);
    command.env("CARGO_BUILD_BUILD_DIR", packed.join("build")).env("CARGO_PROFILE_DEV_DEBUG", "0");
    let finished = Step::new(shell, "package", command).run()?;
    if finished.ok {
        keep(&packed.join("package"), &folder.join("crates"))?;
    }
    let _ = std::fs::remove_dir_all(&packed);
    Ok(finished.ok)
}

/// Puts the packed crates where a person looks for them.
fn keep(packed: &Path, crates: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(crates);
    std::fs::create_dir_all(crates)
        .with_context(|| format!("could not make {}", crates.display()))?;
    for entry in
        std::fs::read_dir(packed).with_context(|| format!("could not read {}", packed.display()))?
    {
        let path = entry?.path();
        if let Some(name) =
            path.file_name().filter(|_| path.extension().is_some_and(|e| e == "crate"))
        {
            std::fs::rename(&path, crates.join(name))
                .with_context(|| format!("could not keep {}", path.display()))?;
        }
    }
    Ok(())
}
