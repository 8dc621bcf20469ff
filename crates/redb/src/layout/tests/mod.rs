//! Tests of the view, the flush and the draft, on tables and a log in memory.

mod changes;
mod model;
mod world;
