//! The loop: optimiser and schedule, a plan made once, the batches of an epoch, and the trainer that runs them. No I/O, no
//! Python.

mod batches;
mod columns;
mod dropout;
mod one_kernel;
mod optimizer;
mod pace;
mod passes;
mod plan;
mod rounds;
mod schedule;
mod settings;
mod snapshot;
mod stored;
mod trainer;

pub use batches::{Batch, Batches};
pub use dropout::Dropout;
pub use optimizer::{Optimizer, Options, Rate};
pub use pace::Pace;
pub use plan::Plan;
pub use schedule::{Schedule, Shape};
pub use settings::{Gradient, Settings};
#[cfg(feature = "python")] // the bindings decide by it whether to release the GIL
pub(crate) use trainer::work_per_step;
pub use trainer::{Epoch, Observer, Trainer};
