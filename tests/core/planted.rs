//! Faults that a memory checker must find, or it does not look: `make test-asan` and `make test-valgrind` run each of them and
//! demand that it is reported. Nothing here is true of the package.

#![allow(unsafe_code)] // that is what is planted

use std::hint::black_box;

#[test]
#[ignore = "a planted fault, for memory checkers"]
fn a_read_beyond_the_end_of_an_allocation() {
    let numbers = black_box(vec![1_f32; 5]);
    // SAFETY: none; the allocation has five numbers.
    black_box(unsafe { numbers.as_ptr().add(5).read_volatile() });
}

#[test]
#[ignore = "a planted fault, for memory checkers"]
fn a_write_after_the_allocation_is_freed() {
    let mut numbers = black_box(vec![1_f64; 5]);
    let place = numbers.as_mut_ptr();
    drop(numbers);
    // SAFETY: none; the numbers are gone.
    unsafe { black_box(place).write_volatile(2.0) };
}
