//! `Network`: the class behind `ironprop.Network`.
//!
//! One thread at a time uses a network: who waits for it and who is refused is in `turns.rs`. What the calls take is read in
//! `arguments.rs`, what they do is in `owner.rs`, what they are told about training in `recipe.rs`, and a training that lasts in
//! `session.rs`.

mod arguments;
mod owner;
mod recipe;
mod session;
mod turns;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use arguments::{read_activations, read_names};
use owner::Owner;
pub(super) use session::Training;
pub(super) use turns::count_forks;
use turns::{Purpose, Turn, Turns};

use super::arrays::{Array, Dtype, Fresh, Name};
use super::boundary::guarded;
use super::layers::{Layers, check_dtype, shape_error};
use super::options::{at_most, learning_rate, whole_number};
use super::training::{Passage, count, draw_parameters, dtype_error, read_seed, read_widths, system_seed};
use crate::error::{Error, shape_text};
use crate::kernels::Activation;
use crate::network::init;
use crate::training::{Rate, Schedule};

/// See `ironprop.Network`.
#[pyclass(frozen, module = "ironprop._core")]
pub(super) struct Network {
    sizes: Vec<usize>,
    dtype: Dtype,
    model: Turns<Model>,
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

impl Network {
    /// The model for one call.
    fn model(&self, py: Python<'_>) -> PyResult<Turn<'_, Model>> {
        self.model.take(py, Purpose::Call)
    }

    /// The model for a training.
    fn model_to_train(&self, py: Python<'_>) -> PyResult<Turn<'_, Model>> {
        self.model.take(py, Purpose::Training)
    }

    /// The learning rates: the schedule's, or the one that is given.
    fn rate(&self, given: Option<&Bound<'_, PyAny>>) -> PyResult<Rate> {
        Ok(match (given, self.dtype) {
            (None, _) => Rate::Scheduled(1.0),
            (Some(rate), Dtype::F32) => Rate::Fixed(learning_rate::<f32>(rate)?.into()),
            (Some(rate), Dtype::F64) => Rate::Fixed(learning_rate::<f64>(rate)?),
        })
    }

    fn n_outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }
}

#[pymethods]
#[allow(non_snake_case)] // the argument names of the field
impl Network {
    #[new]
    #[pyo3(signature = (sizes, activation, scheme, dtype, seed))]
    fn new(
        py: Python<'_>,
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
            let schemes = read_names("init", scheme, init::Scheme::ALL, sizes.len() - 1)?;
            let seed = read_seed(seed)?.map_or_else(system_seed, Ok)?;
            let (dtype, mut model) = match dtype {
                "float32" => (Dtype::F32, Model::F32(Owner::new(&sizes, &activations)?)),
                "float64" => (Dtype::F64, Model::F64(Owner::new(&sizes, &activations)?)),
                _ => return Err(dtype_error(dtype)),
            };
            with_owner!(&mut model, owner => draw_parameters(py, &mut owner.network, &schemes, seed)?);
            Ok(Self { sizes, dtype, model: Turns::new(model) })
        })
    }

    /// The widths, features first.
    #[getter]
    fn sizes(&self) -> Vec<usize> {
        self.sizes.clone()
    }

    /// The number of weights and biases.
    #[getter]
    fn n_parameters(&self) -> usize {
        self.sizes.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// The name of each layer's activation.
    #[getter]
    fn activations(&self, py: Python<'_>) -> PyResult<Vec<&'static str>> {
        guarded(|| {
            let name = |activation| {
                let mut all = Activation::ALL.iter().chain(Activation::OUTPUT);
                all.find(|(_, other)| *other == activation).map(|(name, _)| *name)
            };
            Ok(with_owner!(&*self.model(py)?, owner => {
                owner.network.layers().iter().filter_map(|layer| name(layer.activation())).collect()
            }))
        })
    }

    fn set_loss(&self, py: Python<'_>, name: &Bound<'_, PyAny>, parameter: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let loss = recipe::read_loss(name, parameter)?;
            with_owner!(&mut *self.model(py)?, owner => {
                let of_output = owner.network.layers()[self.sizes.len() - 2].activation();
                if let Some(activation) = loss.fused_with().filter(|activation| *activation != of_output) {
                    let name = if activation == Activation::Softmax { "softmax" } else { "sigmoid" };
                    let message = format!("this loss needs output_activation={name:?}");
                    return Err(PyValueError::new_err(message));
                }
                owner.settings.loss = loss;
            });
            Ok(())
        })
    }

    fn set_optimizer(&self, py: Python<'_>, name: &Bound<'_, PyAny>, options: &Bound<'_, PyDict>) -> PyResult<()> {
        guarded(|| {
            let options = recipe::read_optimizer(name, options, self.dtype)?;
            with_owner!(&mut *self.model(py)?, owner => owner.set_optimizer(options))
        })
    }

    fn set_schedule(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        rate: &Bound<'_, PyAny>,
        first: &Bound<'_, PyAny>,
        second: &Bound<'_, PyAny>,
        warm_up: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        guarded(|| {
            let warm_up = whole_number("warm_up", warm_up, 0, u64::from(u32::MAX))?;
            let schedule: Schedule = recipe::read_schedule(name, rate, first, second, warm_up)?;
            with_owner!(&mut *self.model(py)?, owner => owner.optimizer.set_schedule(schedule));
            Ok(())
        })
    }

    fn set_dropout(&self, py: Python<'_>, rates: &Bound<'_, PyAny>, seed: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let rates = recipe::read_dropout(rates, self.sizes.len() - 2)?;
            let seed = whole_number("seed", seed, 0, u64::MAX)?;
            with_owner!(&mut *self.model(py)?, owner => {
                owner.settings.dropout = crate::training::Dropout { rates, seed };
            });
            Ok(())
        })
    }

    fn predict<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let x = self.samples(X)?;
            with_owner!(&mut *self.model(py)?, owner => owner.predict(py, &x))
        })
    }

    fn forward_pass<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyList>, u64)> {
        guarded(|| {
            let x = self.some_samples(X)?;
            with_owner!(&mut *self.model(py)?, owner => owner.forward_pass(py, &x))
        })
    }

    /// From the pass of that number, or from the last one whatever it was.
    #[pyo3(signature = (loss_gradient, number))]
    fn backward_pass<'py>(
        &self,
        py: Python<'py>,
        loss_gradient: &Bound<'py, PyAny>,
        number: Option<u64>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        guarded(|| {
            let name = Name("loss_gradient", None);
            let gradient = Array::read(loss_gradient, name)?;
            check_dtype(name, gradient.dtype(), self.dtype)?;
            with_owner!(&mut *self.model(py)?, owner => {
                let Some((last, n_samples)) = owner.last_pass() else {
                    return Err(PyRuntimeError::new_err(
                        "backward_pass follows a forward_pass, and nothing between them may change the parameters",
                    ));
                };
                if number.is_some_and(|number| number != last) {
                    return Err(PyRuntimeError::new_err(
                        "the network was used for another forward_pass while its loss was computed",
                    ));
                }
                if *gradient.shape() != [n_samples, self.n_outputs()] {
                    let expected = shape_text(&[n_samples, self.n_outputs()]);
                    return Err(shape_error(name, gradient.shape(), &expected));
                }
                owner.backward_pass(py, &gradient)
            })
        })
    }

    #[pyo3(signature = (X, Y, sample_weight))]
    fn gradients<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(f64, Bound<'py, PyAny>)> {
        guarded(|| {
            let batch = self.batch(X, Y, sample_weight)?;
            with_owner!(&mut *self.model(py)?, owner => owner.gradients(py, &batch))
        })
    }

    fn sample_gradients<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let batch = self.batch(X, Y, None)?;
            with_owner!(&mut *self.model(py)?, owner => owner.sample_gradients(py, &batch))
        })
    }

    fn jacobian<'py>(&self, py: Python<'py>, X: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let x = self.samples(X)?;
            with_owner!(&mut *self.model(py)?, owner => owner.jacobian(py, &x))
        })
    }

    #[pyo3(signature = (X, Y, sample_weight))]
    fn loss_of<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<f64> {
        guarded(|| {
            let batch = self.batch(X, Y, sample_weight)?;
            with_owner!(&mut *self.model(py)?, owner => owner.loss_of(py, &batch))
        })
    }

    #[pyo3(signature = (X, Y, sample_weight, learning_rate, n_threads))]
    fn train_step<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        learning_rate: Option<&Bound<'py, PyAny>>,
        n_threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<f64> {
        guarded(|| {
            let batch = self.batch(X, Y, sample_weight)?;
            let (rate, threads) = (self.rate(learning_rate)?, at_most(n_threads)?);
            with_owner!(&mut *self.model(py)?, owner => owner.train_step(py, &batch, rate, threads))
        })
    }

    /// With a learning rate, or that of the schedule times `scale`.
    #[pyo3(signature = (gradients, learning_rate, scale))]
    fn apply_gradients(
        &self,
        py: Python<'_>,
        gradients: &Bound<'_, PyAny>,
        learning_rate: Option<&Bound<'_, PyAny>>,
        scale: f64,
    ) -> PyResult<()> {
        guarded(|| {
            let vector = self.vector(gradients, "gradients")?;
            let rate = if learning_rate.is_none() { Rate::Scheduled(scale) } else { self.rate(learning_rate)? };
            with_owner!(&mut *self.model(py)?, owner => owner.apply_gradients(py, &vector, rate))
        })
    }

    #[pyo3(signature = (X, Y, epochs, learning_rate, batch_size, shuffle, seed, n_threads, sample_weight))]
    #[allow(clippy::too_many_arguments)] // the options of the public method
    fn train<'py>(
        &self,
        py: Python<'py>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        epochs: &Bound<'py, PyAny>,
        learning_rate: Option<&Bound<'py, PyAny>>,
        batch_size: Option<&Bound<'py, PyAny>>,
        shuffle: &Bound<'py, PyAny>,
        seed: Option<&Bound<'py, PyAny>>,
        n_threads: Option<&Bound<'py, PyAny>>,
        sample_weight: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let batch = self.batch(X, Y, sample_weight)?;
            let passage = Passage::read(batch.n_samples(), batch_size, shuffle, seed)?;
            let (epochs, threads) = (count("epochs", epochs, 0, usize::MAX)?, at_most(n_threads)?);
            let mut result = Fresh::<f64>::new(py, &[epochs])?;
            let rate = self.rate(learning_rate)?;
            let records = with_owner!(&mut *self.model_to_train(py)?, owner => {
                session::train(py, owner, &batch, (passage, threads), (epochs, rate))?
            });
            for (loss, record) in result.numbers_mut().iter_mut().zip(&records) {
                *loss = record.loss;
            }
            Ok(result.into_array())
        })
    }

    #[pyo3(signature = (X, Y, sample_weight, batch_size, shuffle, seed, n_threads))]
    #[allow(clippy::too_many_arguments)] // the options of the public method
    fn training<'py>(
        slf: &Bound<'py, Self>,
        X: &Bound<'py, PyAny>,
        Y: &Bound<'py, PyAny>,
        sample_weight: Option<&Bound<'py, PyAny>>,
        batch_size: Option<&Bound<'py, PyAny>>,
        shuffle: &Bound<'py, PyAny>,
        seed: Option<&Bound<'py, PyAny>>,
        n_threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Training> {
        guarded(|| {
            let network = slf.get();
            let batch = network.batch(X, Y, sample_weight)?;
            let passage = Passage::read(batch.n_samples(), batch_size, shuffle, seed)?;
            Training::new(slf, &batch, passage, at_most(n_threads)?)
        })
    }

    /// Weights and biases, as copies.
    fn parameters<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
        guarded(|| with_owner!(&*self.model(py)?, owner => owner.parameters(py)))
    }

    fn set_parameters(&self, py: Python<'_>, W: &Bound<'_, PyAny>, B: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let layers = Layers::<Array<'_>>::take(W, B)?;
            check_dtype(Name("W", Some(0)), layers.dtype(), self.dtype)?;
            if layers.sizes() != self.sizes {
                let shapes = |sizes: &[usize]| shape_text(sizes);
                let (given, own) = (shapes(&layers.sizes()), shapes(&self.sizes));
                let message = format!("the weights are those of a network {given}, but this one is {own}");
                return Err(PyValueError::new_err(message));
            }
            with_owner!(&mut *self.model(py)?, owner => owner.set_parameters(&layers))
        })
    }

    /// All parameters in one vector, a copy.
    fn parameter_vector<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| with_owner!(&*self.model(py)?, owner => owner.parameter_vector(py)))
    }

    fn set_parameter_vector(&self, py: Python<'_>, vector: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let vector = self.vector(vector, "parameters")?;
            with_owner!(&mut *self.model(py)?, owner => owner.set_parameter_vector(&vector))
        })
    }

    /// The steps that the optimiser has taken.
    fn optimizer_steps(&self, py: Python<'_>) -> PyResult<u64> {
        guarded(|| Ok(with_owner!(&*self.model(py)?, owner => owner.optimizer.steps())))
    }

    /// All that training changes, at one moment: the parameters, the optimiser's steps and what it remembers.
    fn state<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, u64, Bound<'py, PyList>)> {
        guarded(|| {
            with_owner!(&*self.model(py)?, owner => {
                let (steps, vectors) = owner.optimizer_state(py)?;
                Ok((owner.parameter_vector(py)?, steps, vectors))
            })
        })
    }

    fn set_optimizer_state(&self, py: Python<'_>, step: &Bound<'_, PyAny>, vectors: &Bound<'_, PyAny>) -> PyResult<()> {
        guarded(|| {
            let step = whole_number("step", step, 0, 1 << 48)?;
            let vectors = vectors.try_iter()?.map(|vector| self.vector(&vector?, "state"));
            let vectors = vectors.collect::<PyResult<Vec<_>>>()?;
            with_owner!(&mut *self.model(py)?, owner => {
                let expected = owner.optimizer.options().rule.n_states();
                if vectors.len() != expected {
                    let message = format!("the optimizer keeps {expected} vectors, got {}", vectors.len());
                    return Err(PyValueError::new_err(message));
                }
                owner.set_optimizer_state(step, &vectors)
            })
        })
    }
}
