//! Compiles the README's code.
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]
