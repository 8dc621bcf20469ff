//! The pages of redb's file.

use anyhow::{Context, Result};
use std::path::Path;

/// The bytes of the pages of a closed file that redb uses: for rows, for the branches above them,
/// and for its own tables. The rest of the file is free pages.
///
/// It looks at a copy: redb writes to a file that it opens.
pub(super) fn used_bytes(file: &Path) -> Result<u64> {
    let copy = tempfile::NamedTempFile::new()?;
    std::fs::copy(file, copy.path())?;
    let db = redb::Database::open(copy.path()).context("opening a copy of the file")?;
    let txn = db.begin_write()?;
    let stats = txn.stats()?;
    txn.abort()?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}
