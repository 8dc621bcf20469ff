//! Broken engines: the conformance suite run on the memory store, on copies of the checkout with a
//! bug planted in the session engine. A case that passes on its broken engine proves nothing.

use crate::planted::{Finder, Patch, Tree};
use crate::report::Part;
use crate::shell::Shell;
use anyhow::Result;
use std::time::Instant;

/// Each case must fail on the engines that it has to catch.
pub(super) fn run(shell: &Shell, part: &mut Part) -> Result<()> {
    let tree = Tree::take(shell)?;
    for patch in Patch::all(shell)? {
        let case = |finder: &Finder| match finder {
            Finder::Conformance(case) => Some(case.clone()),
            _ => None,
        };
        let cases: Vec<_> = patch.finders.iter().filter_map(case).collect();
        if cases.is_empty() {
            continue;
        }
        let mut began = Instant::now();
        let planted = tree.plant(&patch);
        if let Err(error) = &planted {
            println!("   {error:#}");
        }
        for case in cases {
            let caught = planted.is_ok() && tree.case_fails(&case)?;
            let name = &patch.name;
            let check = format!("the engine with the planted bug {name} is caught by {case}");
            part.check(&check, caught, began.elapsed());
            began = Instant::now();
        }
    }
    Ok(())
}
