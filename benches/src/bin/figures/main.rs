//! Figures that take time, as ratios within one interleaved run.

mod append;
mod load;

use anyhow::Result;
use benches::{Options, Report};
use clap::Parser;

fn main() -> Result<()> {
    let mut report = Report::new("figures", Options::parse())?;
    append::lone(&mut report)?;
    append::together(&mut report)?;
    append::history(&mut report)?;
    load::tail(&mut report)?;
    load::whole(&mut report)?;
    load::snapshot(&mut report)?;
    report.finish()
}
