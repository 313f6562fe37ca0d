//! The arithmetic: the only place with SIMD. `README.md` beside this file is the numeric contract.
//!
//! `vector.rs` says what a register can do, `avx512.rs`, `avx2.rs` and `portable.rs` are its instances, `level.rs`
//! chooses one at run time. The algorithms are written once: `exp.rs` and `activation.rs` for single registers,
//! `tile.rs` for products of matrices, and on them the safe entries `dense.rs`, `loss.rs`, `elementwise.rs`, and
//! `online.rs` for one sample through a whole small network. `peak.rs` measures what there is to be had.
//! `reference.rs` is the definition of them all in naive loops, and the oracle of the tests.

#![allow(unsafe_code)] // raw pointers and SIMD, behind safe entries that check every size

mod activation;
mod avx2;
mod avx512;
mod buffer;
pub mod dense;
pub mod elementwise;
mod exp;
mod level;
pub mod loss;
mod matrix;
mod micro_kernel;
pub mod online;
mod pack;
pub mod peak;
mod portable;
mod product;
pub mod reference;
mod vector;

pub use activation::Activation;
pub use buffer::{Buffer, LINE};
pub use dense::Slope;
pub use level::Level;
pub use matrix::{Matrix, MatrixMut};
pub use vector::Element;
