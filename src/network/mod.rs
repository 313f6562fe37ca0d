//! The model: initial parameters, the dense layer, and the network that owns the parameters of its layers.
//!
//! Safe code over `kernels`; nothing here knows of batches, epochs or Python.

pub mod init;

mod dense;
mod layerwise;
#[allow(clippy::module_inception)] // the file holds `Network`, as every file here holds what it is named for
mod network;

pub use dense::Dense;
pub use layerwise::Layerwise;
pub use network::Network;
