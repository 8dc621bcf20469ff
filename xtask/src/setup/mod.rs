//! Getting the tests' tools: build tools, npm packages, the wasm32 target, a browser, a
//! database server.
//!
//! Everything that a package registry has is installed below the target folder; nothing changes the
//! source tree.

mod apt;
mod browser;
mod nginx;
mod node;
mod postgres;
mod python;
mod tools;
mod wasm;

pub(crate) use browser::chromium;
pub(crate) use nginx::nginx;
pub(crate) use node::{NodeTests, mirror};
pub(crate) use postgres::{PostgresServer, postgres_programs};
pub(crate) use python::python;
pub(crate) use tools::{
    CARGO_DENY, CARGO_MACHETE, CARGO_SEMVER_CHECKS, Tool, WORKER_BUILD, install,
};
pub(crate) use wasm::wasm_target;

/// Something that cannot be had here, and how a person gets it.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Missing {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Either the thing or why not.
pub(crate) type Found<T> = Result<T, Missing>;
