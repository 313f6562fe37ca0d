//! Forward and backward propagation for dense neural networks.
//!
//! ```text
//! bindings   PyO3: arrays in and out (feature `python`)
//! training   the loop: batches, trainer
//! network    initial parameters, the network and its layers in one buffer
//! parallel   the thread team
//! kernels    the arithmetic, at the SIMD level of the machine
//! ```
//!
//! Each row uses those below it. Everything above `kernels` is safe code, but for `parallel` and the array boundary of
//! `bindings`.
//!
//! **Shapes.** `B` samples in a batch, `I` inputs and `O` outputs of a layer; every matrix argument carries its shape in
//! a comment: `x // (B, I)`. Matrices are row-major: one sample after the other.
//!
//! **The laws** that every part obeys are in `ARCHITECTURE.md`; the first one: each output number is one chain of fused
//! multiply-adds with the summed index ascending, so that results are the same bits at any SIMD level and for a row
//! alone or in a batch.

pub mod error;
pub mod kernels;
pub mod network;
pub mod parallel;
pub mod training;

#[cfg(feature = "python")]
mod bindings;

pub use error::Error;
