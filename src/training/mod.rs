//! The loop: a plan made once, the batches of an epoch, and the trainer that runs them. No I/O, no Python.

mod batches;
mod passes;
mod plan;
mod rounds;
mod trainer;

pub use batches::Batches;
pub use plan::{Gradient, Plan, Settings};
#[cfg(feature = "python")] // the bindings decide by it whether to release the GIL
pub(crate) use trainer::work_per_step;
pub use trainer::{Observer, train};
