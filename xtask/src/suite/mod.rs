//! `cargo xtask test`.

pub(crate) mod ai_chat;
mod ai_sdk;
mod browser;
mod engines;
mod examples;
mod native;
mod postgres;
mod protocol;
mod replicas;

use crate::report::{Part as Outcome, Report};
use crate::shell::Shell;
use crate::{torture, workers};
use anyhow::Result;
use clap::ValueEnum;

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The workspace's Rust tests and doc tests.
    Native,
    /// The store written outside the workspace, against the published conformance suite.
    Examples,
    /// The wire protocol's golden scenarios against the whole-state object.
    Protocol,
    /// The tests that need optimized code (replay, the campaigns' verdicts), and every torture
    /// campaign for some seconds.
    Torture,
    /// The Durable Object store inside workerd.
    Workers,
    /// The PostgreSQL store, against a real server.
    Postgres,
    /// The client of the AI SDK's `useChat` against the service of `examples/ai-chat`.
    AiSdk,
    /// The page of `examples/ai-chat` with the real `useChat`, in Chromium.
    AiChat,
    /// The chat page in Chromium.
    Browser,
    /// The chat page in Chromium, on two replicas behind nginx that share a PostgreSQL.
    Replicas,
}

impl Part {
    fn run(self, shell: &Shell) -> Result<Outcome> {
        match self {
            Self::Native => native::run(shell),
            Self::Examples => examples::run(shell),
            Self::Protocol => protocol::run(shell),
            Self::Torture => torture::quick(shell),
            Self::Workers => workers::run(shell),
            Self::Postgres => postgres::run(shell),
            Self::AiSdk => ai_sdk::run(shell),
            Self::AiChat => ai_chat::run(shell),
            Self::Browser => browser::run(shell),
            Self::Replicas => replicas::run(shell),
        }
    }
}

/// Runs the parts, or the one asked for; prints the summary. `true` if all is well.
pub(crate) fn run(shell: &Shell, only: Option<Part>) -> Result<bool> {
    let mut report = Report::default();
    for &part in Part::value_variants() {
        if only.is_none_or(|only| only == part) {
            report.add(part.run(shell)?);
        }
    }
    Ok(report.conclude(shell.ci()))
}
