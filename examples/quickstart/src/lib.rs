//! Compiles the README's code, and that of the page about importing.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../../../docs/importing.md"))]
