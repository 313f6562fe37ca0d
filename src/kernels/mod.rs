//! The arithmetic: the only place with SIMD. `README.md` beside this file is the numeric contract.
//!
//! `vector.rs` says what a register can do, `avx512.rs`, `avx2.rs` and `portable.rs` are its instances, `level.rs`
//! chooses one at run time. The algorithms are written once: for single registers the functions (`exp.rs`, `sigmoid.rs`,
//! `log1p.rs`, `normal.rs`, `sin.rs`), on them the folder `activation`, and `optimizer.rs`; `product.rs` for products of
//! matrices (`blocks.rs`, `pack.rs`, `transpose.rs`: how they are cut and copied; `few_chains.rs` for tiny ones, `across.rs` for some
//! input gradients; `finish.rs`: what becomes of the chains); and on them the safe entries `dense.rs`, `update.rs`, `loss.rs` (with
//! `regression.rs`, `cross_entropy.rs` and `softmax.rs`), `elementwise.rs`, and for all layers in one kernel `online.rs`, of single
//! samples, and `small.rs`, of batches through small networks (`layout.rs`: where layers lie; `registers.rs`). `peak.rs` measures what
//! there is to be had.
//! `reference.rs` is the definition of them all in naive loops, and the oracle of the tests.

#![allow(unsafe_code)] // raw pointers and SIMD, behind safe entries that check every size

mod across;
mod activation;
mod ahead;
mod avx2;
mod avx512;
mod blocks;
mod buffer;
mod cross_entropy;
pub mod dense;
pub mod elementwise;
mod exp;
mod few_chains;
mod finish;
pub mod layout;
mod level;
mod log1p;
pub mod loss;
mod matrix;
mod micro_kernel;
mod normal;
pub mod online;
pub mod optimizer;
mod pack;
pub mod peak;
mod polynomial;
mod portable;
mod product;
pub mod reference;
mod registers;
mod regression;
mod sigmoid;
mod sin;
pub mod small;
mod softmax;
mod transpose;
pub mod update;
mod vector;

pub use activation::Activation;
pub(crate) use buffer::zeros;
pub use buffer::{Buffer, LINE, stride_of};
pub use dense::Slope;
pub use level::Level;
pub use loss::Loss;
pub use matrix::{Matrix, MatrixMut};
pub use optimizer::{Descent, Penalty, Rule};
pub use vector::Element;
