//! Compiles the code in the README and in `docs/importing.md`.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../../../docs/importing.md"))]
