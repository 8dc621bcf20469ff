//! Figures beside the bars that they have to meet. Each peer and round has a process of its own:
//! this program again, or an earlier build of it.

mod child;
mod cycle;
mod flush;
mod load;
mod lone;
mod memory;
mod opening;
mod openings;
mod replies;
mod run;
mod runner;
mod sustained;
mod table;

pub(crate) use child::{Child, run as run_child};
pub(crate) use run::run;
pub(crate) use runner::Options;
pub(crate) use table::print_file;
