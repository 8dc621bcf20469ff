//! The code in `docs/` compiles and is the code of these files.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, clippy::unused_async, reason = "the code is there to be compiled")]

mod context;
mod postgres;
mod replies;
mod use_chat;

/// The code of a file between its own words and [`LEFT`].
fn shown(file: &str) -> &str {
    let (_, code) = file.split_once("\n\n").unwrap();
    code.split_once("\n// What the page leaves to its reader.").unwrap().0
}

#[test]
fn the_pages_show_this_code() {
    for (page, name, file) in [
        (include_str!("../../../../docs/context.md"), "context", include_str!("context.rs")),
        (include_str!("../../../../docs/postgres.md"), "postgres", include_str!("postgres.rs")),
        (include_str!("../../../../docs/replies.md"), "replies", include_str!("replies.rs")),
        (include_str!("../../../../docs/use-chat.md"), "use_chat", include_str!("use_chat.rs")),
    ] {
        let code = shown(file);
        assert!(
            page.contains(&format!("```rust,ignore\n{code}```")),
            "docs/ and tests/docs/{name}.rs differ; the page should have:\n{code}"
        );
    }
}
