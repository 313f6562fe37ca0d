//! PyO3: arrays in and out, and nothing else. The compiled module `ironprop._core` is private; its documented face is
//! the typed Python beside it.
//!
//! `arrays.rs` is the array boundary, `convert.rs` and `overlap.rs` stand beside it; `options.rs` reads numbers and names;
//! `boundary.rs` is the one way into the core: it releases the GIL, polls for signals, and turns errors and panics into
//! exceptions; `layers.rs` checks `W`, `B` and what goes with them. `notebook.rs`, `training.rs` and `elementwise.rs` have
//! the functions, the folder `network` the class. `unsafe` is in `arrays.rs` and `boundary.rs` only.

mod arrays;
mod boundary;
mod convert;
mod elementwise;
mod layers;
mod network;
mod notebook;
mod options;
mod overlap;
mod training;

use pyo3::prelude::*;

/// The compiled core of ironprop.
#[pymodule]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::boundary::InternalError;
    #[pymodule_export]
    use super::elementwise::{dmse, dsig, mse, sig};
    #[pymodule_export]
    use super::network::{Network, Training};
    #[pymodule_export]
    use super::notebook::{backward_pass, forward_pass};
    #[pymodule_export]
    use super::options::{get_num_threads, peak_fma, set_num_threads, show_config};
    #[pymodule_export]
    use super::training::{initialize, train};

    #[cfg(feature = "test-hooks")]
    #[pymodule_export]
    use super::boundary::_panic;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::arrays::load_numpy(module.py())?;
        super::convert::look_up(module.py())?;
        super::network::count_forks(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
