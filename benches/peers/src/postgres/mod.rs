//! The same appends to a PostgreSQL server by durable-session and by what a user would write or
//! pick instead.

mod child;
mod hints;
mod naive;
mod ours;
mod peer;
mod run;
mod server;
mod sqlx_pool;
mod tower;

pub(crate) use child::{Child, run as run_child};
pub(crate) use run::{Options, run};
