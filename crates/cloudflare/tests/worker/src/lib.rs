//! A Worker for tests: runs conformance cases and single store commands inside a Durable Object.
//!
//! `POST /{object}/{command}` with a JSON body; the answer is JSON. Nothing of it is for production.

// What the worker crate's macros write is public and has neither.
#![allow(missing_docs, missing_debug_implementations)]

mod commands;
mod factory;

use commands::Probe;
use worker::{Context, DurableObject, Env, Request, Response, Result, State, durable_object, event};

/// The object under test, of the same name as the class that it takes over from.
#[durable_object]
pub struct ChatSession {
    probe: Probe,
}

impl DurableObject for ChatSession {
    fn new(state: State, _env: Env) -> Self {
        Self { probe: Probe::new(state) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let path = request.path();
        let command = path.rsplit('/').next().unwrap_or_default();
        let body: serde_json::Value = request.json().await?;
        match self.probe.run(command, &body).await {
            Ok(answer) => Response::from_json(&answer),
            Err(error) => Response::error(error.to_string(), 500),
        }
    }
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let path = request.path();
    let object = path.split('/').nth(1).unwrap_or_default();
    env.durable_object("CHAT_SESSION")?.id_from_name(object)?.get_stub()?.fetch_with_request(request).await
}
