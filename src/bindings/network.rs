//! `Network`: the class behind `ironprop.Network`, the owner of one network and of the plans that run it.
//!
//! A plan is kept as long as the calls have its shape. One thread at a time uses a network: another one is told so.

use std::sync::{Mutex, MutexGuard, TryLockError};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::arrays::{Array, Dtype, Fresh, Name, Number};
use super::boundary::{guarded, run_detached};
use super::convert::type_name;
use super::layers::{Layers, Targets, check_dtype, shape_error};
use super::options::{at_most, learning_rate, named};
use super::training::{Options, Reporter, dtype_error, read_seed, read_widths, system_seed, to_array, train_network};
use crate::error::{Error, shape_text};
use crate::kernels::{Activation, Level, Matrix};
use crate::network::{Network as Core, init};
use crate::parallel::Threads;
use crate::training::{Gradient, Plan, Settings, work_per_step};

/// Rows that are predicted at a time.
const ROWS_AT_A_TIME: usize = 256;

/// See `ironprop.Network`.
#[pyclass(frozen, module = "ironprop._core")]
pub(super) struct Network {
    sizes: Vec<usize>,
    dtype: Dtype,
    model: Mutex<Model>,
}

enum Model {
    F32(Owner<f32>),
    F64(Owner<f64>),
}

/// Runs `$body` with the owner, whatever its numbers are.
macro_rules! with_owner {
    ($model:expr, $owner:ident => $body:expr) => {
        match $model {
            Model::F32($owner) => $body,
            Model::F64($owner) => $body,
        }
    };
}

/// A network and its plans, of training steps and of predictions.
struct Owner<T> {
    network: Core<T>,
    steps: Option<Plan<T>>,
    predictions: Option<Plan<T>>,
}

/// The plan for batches of `n_samples`: the one that there is, or a new one.
fn plan_for<'a, T: Number>(
    place: &'a mut Option<Plan<T>>,
    network: &Core<T>,
    n_samples: usize,
    settings: Settings,
) -> Result<&'a mut Plan<T>, Error> {
    let fits = |plan: &Plan<T>| plan.n_samples() == n_samples && plan.settings() == settings;
    if !place.as_ref().is_some_and(fits) {
        *place = Some(Plan::new(network, n_samples, settings)?);
    }
    Ok(place.as_mut().expect("a plan that was just made"))
}

impl<T: Number> Owner<T> {
    fn new(sizes: &[usize], activations: &[Activation]) -> PyResult<Self> {
        let network = Core::new(sizes, activations, Level::current()?)?;
        Ok(Self { network, steps: None, predictions: None })
    }

    fn predict<'py>(&mut self, py: Python<'py>, x: &Array<'py>, n_outputs: usize) -> PyResult<Bound<'py, PyAny>> {
        let (n_samples, n_features) = (x.shape()[0], x.shape()[1]);
        let mut result = Fresh::<T>::new(py, &[n_samples, n_outputs])?;
        let rows = Matrix::packed(x.numbers::<T>()?, n_samples, n_features);
        let settings = Settings { gradient: Gradient::Exact, threads: Threads::AtMost(Threads::most()?) };
        let operations = self.network.n_parameters().saturating_mul(n_samples).saturating_mul(2);
        if n_samples == 0 {
            return Ok(result.into_array());
        }
        let at_a_time = n_samples.min(ROWS_AT_A_TIME);
        let plan = plan_for(&mut self.predictions, &self.network, at_a_time, settings)?;
        let (network, out) = (&self.network, result.numbers_mut());
        run_detached(py, operations, || {
            for (start, out) in (0..n_samples).step_by(at_a_time).zip(out.chunks_mut(at_a_time * n_outputs)) {
                let n = at_a_time.min(n_samples - start);
                plan.pass(network, rows.window(start, n), None);
                let predictions = plan.predictions(n);
                for (row, out) in out.chunks_exact_mut(n_outputs).enumerate() {
                    out.copy_from_slice(predictions.row(row));
                }
            }
        });
        Ok(result.into_array())
    }

    fn train_step<'py>(
        &mut self,
        py: Python<'py>,
        x: &Array<'py>,
        targets: &Targets<'py>,
        rate: &Bound<'py, PyAny>,
        threads: Threads,
    ) -> PyResult<f64> {
        let rate = learning_rate::<T>(rate)?;
        let (n_samples, n_features) = (x.shape()[0], x.shape()[1]);
        let mut row = Vec::new();
        let y = targets.rows::<T>(&mut row)?;
        let x = Matrix::packed(x.numbers::<T>()?, n_samples, n_features);
        let settings = Settings { gradient: Gradient::Exact, threads };
        let operations = work_per_step(self.network.n_parameters(), n_samples);
        let plan = plan_for(&mut self.steps, &self.network, n_samples, settings)?;
        let network = &mut self.network;
        let loss = run_detached(py, operations, || {
            let loss = plan.pass(network, x, Some(y));
            if loss.is_finite() {
                plan.update(network, x, y, rate);
            }
            loss
        });
        if loss.is_finite() {
            Ok(loss)
        } else {
            Err(Error::Diverged { epoch: 0, loss: Some(loss), at_once: true }.into())
        }
    }

    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        let (w, b) = (PyList::empty(py), PyList::empty(py));
        for layer in 0..self.network.layers().len() {
            let (weights, biases) = self.network.parameters(layer);
            w.append(to_array(py, weights)?)?;
            let mut array = Fresh::<T>::new(py, &[biases.len()])?;
            array.numbers_mut().copy_from_slice(biases);
            b.append(array.into_array())?;
        }
        Ok((w, b))
    }

    fn set_parameters(&mut self, layers: &Layers<Array<'_>>) -> PyResult<()> {
        let mut numbers = Vec::with_capacity(layers.len());
        for (weights, biases) in layers.weights.iter().zip(&layers.biases) {
            numbers.push((weights.numbers::<T>()?, biases.numbers::<T>()?));
        }
        for (layer, (weights, biases)) in numbers.into_iter().enumerate() {
            self.network.set_parameters(layer, weights, biases);
        }
        Ok(())
    }
}

impl Network {
    /// The model, unless another thread has it.
    fn model(&self) -> PyResult<MutexGuard<'_, Model>> {
        self.model.try_lock().map_err(|error| {
            PyRuntimeError::new_err(match error {
                TryLockError::WouldBlock => "the network is in use in another thread",
                TryLockError::Poisoned(_) => "the network is unusable since an internal error",
            })
        })
    }

    fn n_outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    fn samples<'py>(&self, x: &Bound<'py, PyAny>) -> PyResult<Array<'py>> {
        let (name, n_features) = (Name("X", None), self.sizes[0]);
        let x = Array::read(x, name)?;
        match *x.shape() {
            [_, columns] if columns == n_features => {}
            [n] if n == n_features => {
                let expected = format!("(n_samples, {n_features}): write X.reshape(1, -1) for one sample");
                return Err(shape_error(name, x.shape(), &expected));
            }
            [_] if n_features == 1 => {
                let expected = "(n_samples, 1): write X.reshape(-1, 1) for one feature";
                return Err(shape_error(name, x.shape(), expected));
            }
            _ => return Err(shape_error(name, x.shape(), &format!("(n_samples, {n_features})"))),
        }
        check_dtype(name, x.dtype(), self.dtype)?;
        Ok(x)
    }

    /// Samples, at least one, and their targets.
    fn batch<'py>(&self, x: &Bound<'py, PyAny>, y: &Bound<'py, PyAny>) -> PyResult<(Array<'py>, Targets<'py>)> {
        let x = self.samples(x)?;
        if x.shape()[0] == 0 {
            return Err(shape_error(Name("X", None), x.shape(), "at least one sample"));
        }
        let targets = Targets::read(y, Name("Y", None), &[x.shape()[0], self.n_outputs()], self.dtype)?;
        Ok((x, targets))
    }
}

/// One activation for all layers, or one for each.
fn read_activations(activation: &Bound<'_, PyAny>, n_layers: usize) -> PyResult<Vec<Activation>> {
    if activation.is_instance_of::<PyString>() {
        return Ok(vec![named("activation", activation, Activation::ALL)?; n_layers]);
    }
    let names = activation.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("activation must be a name or one for each layer, got {}", type_name(activation)))
    })?;
    let activations = names.map(|name| named("activation", &name?, Activation::ALL)).collect::<PyResult<Vec<_>>>()?;
    if activations.len() != n_layers {
        let (expected, value) = (format!("one name for each of the {n_layers} layers"), activations.len().to_string());
        return Err(Error::OutOfRange { option: "activation", expected, value }.into());
    }
    Ok(activations)
}

#[pymethods]
#[allow(non_snake_case)] // the argument names of the field
impl Network {
    #[new]
    #[pyo3(signature = (sizes, activation, scheme, dtype, seed))]
    fn new(
        sizes: &Bound<'_, PyAny>,
        activation: &Bound<'_, PyAny>,
        scheme: &Bound<'_, PyAny>,
        dtype: &str,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        guarded(|| {
            let sizes = read_widths("layer_sizes", sizes)?;
            if sizes.len() < 2 {
                let expected = "at least two widths, of the features and of each layer's outputs".to_owned();
                return Err(Error::OutOfRange { option: "layer_sizes", expected, value: format!("{sizes:?}") }.into());
            }
            let activations = read_activations(activation, sizes.len() - 1)?;
            let scheme = named("init", scheme, init::Scheme::ALL)?;
            let seed = read_seed(seed)?.map_or_else(system_seed, Ok)?;
            let (dtype, mut model) = match dtype {
                "float32" => (Dtype::F32, Model::F32(Owner::new(&sizes, &activations)?)),
                "float64" => (Dtype::F64, Model::F64(Owner::new(&sizes, &activations)?)),
                _ => return Err(dtype_error(dtype)),
            };
            with_owner!(&mut model, owner => init::initialize(&mut owner.network, scheme, seed));
            Ok(Self { sizes, dtype, model: Mutex::new(model) })
        })
    }

    /// The widths, features first.
    #[getter]
    fn sizes(&self) -> Vec<usize> {
        self.sizes.clone()
    }

    /// The name of each layer's activation.
    #[getter]
    fn activations(&self) -> PyResult<Vec<&'static str>> {
        guarded(|| {
            let name =
                |activation| Activation::ALL.iter().find(|(_, other)| *other == activation).map(|(name, _)| *name);
            Ok(with_owner!(&*self.model()?, owner => {
                owner.network.layers().iter().filter_map(|layer| name(layer.activation())).collect()
            }))
        })
    }

    fn predict<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let x = self.samples(X)?;
            with_owner!(&mut *self.model()?, owner => owner.predict(py, &x, self.n_outputs()))
        })
    }

    #[pyo3(signature = (X, Y, learning_rate, n_threads))]
    fn train_step<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        learning_rate: &Bound<'py, PyAny>,
        n_threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<f64> {
        guarded(|| {
            let (x, targets) = self.batch(X, Y)?;
            let threads = at_most(n_threads)?;
            with_owner!(&mut *self.model()?, owner => owner.train_step(py, &x, &targets, learning_rate, threads))
        })
    }

    #[pyo3(signature = (X, Y, epochs, learning_rate, batch_size, shuffle, seed, n_threads))]
    #[allow(clippy::too_many_arguments)] // the options of the public method
    fn train<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        epochs: &Bound<'py, PyAny>,
        learning_rate: &Bound<'py, PyAny>,
        batch_size: Option<&Bound<'py, PyAny>>,
        shuffle: &Bound<'py, PyAny>,
        seed: Option<&Bound<'py, PyAny>>,
        n_threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let (x, targets) = self.batch(X, Y)?;
            let settings = Settings { gradient: Gradient::Exact, threads: at_most(n_threads)? };
            let options = Options::read(x.shape()[0], settings, epochs, learning_rate, batch_size, shuffle, seed)?;
            let mut result = Fresh::<f64>::new(py, &[options.epochs])?;
            let mut reporter = Reporter::silent();
            with_owner!(&mut *self.model()?, owner => {
                train_network(py, &mut owner.network, (&x, &targets), &options, &mut reporter, result.numbers_mut())
            })?;
            Ok(result.into_array())
        })
    }

    /// Weights and biases, as copies.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        guarded(|| with_owner!(&*self.model()?, owner => owner.parameters(py)))
    }

    fn set_parameters(&self, W: &Bound<'_, PyAny>, B: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let layers = Layers::<Array<'_>>::take(W, B)?;
            check_dtype(Name("W", Some(0)), layers.dtype(), self.dtype)?;
            if layers.sizes() != self.sizes {
                let shapes = |sizes: &[usize]| shape_text(sizes);
                let (given, own) = (shapes(&layers.sizes()), shapes(&self.sizes));
                let message = format!("the weights are those of a network {given}, but this one is {own}");
                return Err(PyValueError::new_err(message));
            }
            with_owner!(&mut *self.model()?, owner => owner.set_parameters(&layers))
        })
    }
}
