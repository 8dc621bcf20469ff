//! Reading an input keeps one record in memory, however long the input is.
#![allow(clippy::unwrap_used)] // helpers of tests

use durable_session::transfer::Records;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{self, BufReader, Read};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// So many elements, made as they are read; `[` and `]` around them if it is an array.
struct Made {
    element: Vec<u8>,
    left: usize,
    at: usize,
    array: bool,
    begun: bool,
}

impl Read for Made {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            buf[0] = if self.array { b'[' } else { b'\n' };
            return Ok(1);
        }
        if self.at == self.element.len() {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            self.at = 0;
            buf[0] = match (self.array, self.left) {
                (true, 0) => b']',
                (true, _) => b',',
                (false, _) => b'\n',
            };
            return Ok(1);
        }
        let n = buf.len().min(self.element.len() - self.at);
        buf[..n].copy_from_slice(&self.element[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[test]
fn an_input_of_many_records_takes_the_memory_of_one() {
    const BYTES: usize = 100_000;
    for array in [false, true] {
        for elements in [10, 1000] {
            let element = format!(r#"{{"id":"{}"}}"#, "x".repeat(BYTES)).into_bytes();
            let made = Made { element, left: elements - 1, at: 0, array, begun: false };
            let region = Region::new(ALLOCATOR);
            let (mut records, mut most) = (0, 0);
            for record in Records::new(BufReader::new(made)) {
                assert!(record.text.unwrap().len() > BYTES);
                records += 1;
                let now = region.change();
                most = most.max(now.bytes_allocated.saturating_sub(now.bytes_deallocated));
            }
            assert_eq!(records, elements);
            assert!(most < 4 * BYTES, "array {array}, {elements} records: {most} bytes");
        }
    }
}
