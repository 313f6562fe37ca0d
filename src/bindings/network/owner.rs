//! `Owner`: a network of one number type, its optimiser, and the plans that are kept from call to call.

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::super::arrays::{Array, Fresh, Number};
use super::super::boundary::{run_detached, run_in_pieces, samples_of_a_piece};
use super::super::layers::Layers;
use super::super::training::{check_samples, to_array};
use super::arguments::Samples;
use crate::error::Error;
use crate::kernels::{Activation, Level, Matrix, MatrixMut, zeros};
use crate::network::Network;
use crate::parallel::Threads;
use crate::training::{Optimizer, Options, Plan, Rate, Settings, work_per_step};

/// The fewest rows that are predicted at a time, but for huge networks, and the operations for which there are more.
const ROWS_AT_A_TIME: usize = 256;
const WORK_AT_A_TIME: usize = 1 << 23;
/// The most.
const MOST_ROWS: usize = 8192;

/// Operations between two looks for signals where the pieces are single samples.
const WORK_OF_SAMPLES: usize = 1 << 22;

/// A network and all that works on it.
pub(super) struct Owner<T> {
    pub(super) network: Network<T>,
    pub(super) optimizer: Optimizer<T>,
    pub(super) settings: Settings,
    /// The plans of training steps, of predictions and losses, and of the last `forward_pass`.
    steps: Option<Plan<T>>,
    predictions: Option<Plan<T>>,
    passed: Option<Passed<T>>,
    /// Forward passes so far.
    n_passed: u64,
}

/// A forward pass that a way back may follow.
struct Passed<T> {
    number: u64,
    plan: Plan<T>,
    x: Vec<T>,
}

/// The plan for batches of `n_samples`: the one that there is, or a new one.
fn plan_for<'a, T: Number>(
    place: &'a mut Option<Plan<T>>,
    network: &Network<T>,
    n_samples: usize,
    settings: &Settings,
) -> Result<&'a mut Plan<T>, Error> {
    let fits = |plan: &Plan<T>| plan.n_samples() == n_samples && plan.settings() == settings;
    if !place.as_ref().is_some_and(fits) {
        *place = None; // the old one goes before the new one needs memory
        *place = Some(Plan::new(network, n_samples, settings.clone())?);
    }
    Ok(place.as_mut().expect("a plan that was just made"))
}

impl<T: Number> Owner<T> {
    pub(super) fn new(sizes: &[usize], activations: &[Activation]) -> PyResult<Self> {
        let network = Network::new(sizes, activations, Level::current()?)?;
        let optimizer = Optimizer::new(Options::sgd(0.01), &network)?;
        let settings = Settings::exact(Threads::AtMost(1));
        Ok(Self { network, optimizer, settings, steps: None, predictions: None, passed: None, n_passed: 0 })
    }

    /// Parameters are about to change: a way back from the last pass would go through others.
    pub(super) fn changes(&mut self) {
        self.passed = None;
    }

    fn n_outputs(&self) -> usize {
        self.network.layers()[self.network.layers().len() - 1].n_outputs()
    }

    /// Rows that go through the network at a time, where nothing but their results is wanted.
    fn at_a_time(&self, n_samples: usize) -> usize {
        let n_parameters = self.network.n_parameters().max(1);
        let rows = (WORK_AT_A_TIME / n_parameters).clamp(ROWS_AT_A_TIME, MOST_ROWS);
        n_samples.min(rows).min(samples_of_a_piece(n_parameters))
    }

    pub(super) fn predict<'py>(&mut self, py: Python<'py>, x: &Array<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (n_samples, n_outputs) = (x.shape()[0], self.n_outputs());
        let mut result = Fresh::<T>::new(py, &[n_samples, n_outputs])?;
        let rows = x.rows::<T>()?;
        if n_samples == 0 {
            return Ok(result.into_array());
        }
        self.settings.threads = Threads::AtMost(Threads::most()?);
        let operations = self.network.n_parameters().saturating_mul(n_samples).saturating_mul(2);
        let at_a_time = self.at_a_time(n_samples);
        let plan = plan_for(&mut self.predictions, &self.network, at_a_time, &self.settings)?;
        let (network, out) = (&self.network, result.numbers_mut());
        run_in_pieces(py, operations, |pieces| {
            for (start, out) in (0..n_samples).step_by(at_a_time).zip(out.chunks_mut(at_a_time * n_outputs)) {
                pieces.next()?;
                let n = at_a_time.min(n_samples - start);
                plan.predict(network, rows.window(start, n));
                let predictions = plan.predictions();
                for (row, out) in out.chunks_exact_mut(n_outputs).enumerate() {
                    out.copy_from_slice(predictions.row(row));
                }
            }
            Ok(())
        })?;
        Ok(result.into_array())
    }

    /// The loss of samples of any number.
    pub(super) fn loss_of(&mut self, py: Python<'_>, given: &Samples<'_>) -> PyResult<f64> {
        let mut row = Vec::new();
        let batch = given.batch::<T>(&mut row, self.settings.loss)?;
        let n_samples = given.n_samples();
        self.settings.threads = Threads::AtMost(Threads::most()?);
        let operations = self.network.n_parameters().saturating_mul(n_samples).saturating_mul(2);
        let at_a_time = self.at_a_time(n_samples);
        let plan = plan_for(&mut self.predictions, &self.network, at_a_time, &self.settings)?;
        let mut errors = zeros(n_samples)?;
        let network = &self.network;
        run_in_pieces(py, operations, |pieces| {
            for (start, out) in (0..n_samples).step_by(at_a_time).zip(errors.chunks_mut(at_a_time)) {
                pieces.next()?;
                plan.errors(network, batch.window(start, out.len()), out);
            }
            Ok(())
        })?;
        Ok(self.settings.loss.of_batch(&errors, self.n_outputs()))
    }

    /// The activations of every layer, and the number of the pass.
    pub(super) fn forward_pass<'py>(&mut self, py: Python<'py>, x: &Array<'py>) -> PyResult<(Bound<'py, PyList>, u64)> {
        self.settings.threads = Threads::AtMost(Threads::most()?);
        let mut copy = zeros(x.numbers::<T>()?.len())?;
        copy.copy_from_slice(x.numbers::<T>()?);
        let mut place = self.passed.take().map(|passed| passed.plan);
        plan_for(&mut place, &self.network, x.shape()[0], &self.settings)?;
        let mut plan = place.expect("a plan that was just made");
        let rows = Matrix::packed(&copy, x.shape()[0], x.shape()[1]);
        let operations = self.network.n_parameters().saturating_mul(rows.rows()).saturating_mul(2);
        let network = &self.network;
        run_detached(py, operations, || plan.forward(network, rows));
        let activations = PyList::empty(py);
        for layer in 0..self.network.layers().len() {
            activations.append(to_array(py, plan.activations(layer))?)?;
        }
        self.n_passed += 1;
        self.passed = Some(Passed { number: self.n_passed, plan, x: copy });
        Ok((activations, self.n_passed))
    }

    /// The number and the samples of the last forward pass, if there is one since parameters have changed.
    pub(super) fn last_pass(&self) -> Option<(u64, usize)> {
        self.passed.as_ref().map(|passed| (passed.number, passed.plan.n_samples()))
    }

    /// From a loss's gradient at the predictions of the last forward pass: the gradients of the parameters, and of its samples.
    pub(super) fn backward_pass<'py>(
        &mut self,
        py: Python<'py>,
        gradient: &Array<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let gradient = gradient.rows::<T>()?;
        let n_features = self.network.layers()[0].n_inputs();
        let (mut of_parameters, mut of_samples) = (
            Fresh::<T>::new(py, &[self.network.n_parameters()])?,
            Fresh::<T>::new(py, &[gradient.rows(), n_features])?,
        );
        let mut buffer = zeros(self.network.buffer().as_slice().len())?;
        let network = &self.network;
        let Passed { plan, x, .. } = self.passed.as_mut().expect("a forward pass, which the caller has seen");
        let x = Matrix::packed(x, gradient.rows(), n_features);
        let out = MatrixMut::packed(of_samples.numbers_mut(), gradient.rows(), n_features);
        let operations = work_per_step(network.n_parameters(), gradient.rows());
        run_detached(py, operations, || {
            plan.backward(network, gradient);
            plan.gradients(network, (x, None), &mut buffer);
            plan.sample_gradient(network, x, out);
        });
        network.pack(&buffer, of_parameters.numbers_mut());
        Ok((of_parameters.into_array(), of_samples.into_array()))
    }

    /// The loss of a batch and the gradients of the parameters.
    pub(super) fn gradients<'py>(
        &mut self,
        py: Python<'py>,
        given: &Samples<'_>,
    ) -> PyResult<(f64, Bound<'py, PyAny>)> {
        let mut result = Fresh::<T>::new(py, &[self.network.n_parameters()])?;
        let mut row = Vec::new();
        let batch = given.batch::<T>(&mut row, self.settings.loss)?;
        self.settings.threads = Threads::AtMost(Threads::most()?);
        let plan = plan_for(&mut self.steps, &self.network, given.n_samples(), &self.settings)?;
        let mut buffer = zeros(self.network.buffer().as_slice().len())?;
        let network = &self.network;
        let operations = work_per_step(network.n_parameters(), given.n_samples());
        let loss = run_detached(py, operations, || {
            let loss = plan.pass(network, batch, None);
            plan.gradients(network, (batch.x, Some(batch)), &mut buffer);
            loss
        });
        network.pack(&buffer, result.numbers_mut());
        Ok((loss, result.into_array()))
    }

    /// The gradients of each sample's own loss.
    pub(super) fn sample_gradients<'py>(
        &mut self,
        py: Python<'py>,
        given: &Samples<'_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (n_samples, n_parameters) = (given.n_samples(), self.network.n_parameters());
        let mut result = Fresh::<T>::new(py, &[n_samples, n_parameters])?;
        let mut row = Vec::new();
        let batch = given.batch::<T>(&mut row, self.settings.loss)?;
        self.settings.threads = Threads::AtMost(1);
        let mut plan = Plan::new(&self.network, 1, self.settings.clone())?;
        let mut buffer = zeros(self.network.buffer().as_slice().len())?;
        let (network, out) = (&self.network, result.numbers_mut());
        let between = (WORK_OF_SAMPLES / work_per_step(n_parameters, 1)).max(1);
        run_in_pieces(py, work_per_step(n_parameters, n_samples), |pieces| {
            for (sample, out) in out.chunks_exact_mut(n_parameters).enumerate() {
                if sample.is_multiple_of(between) {
                    pieces.next()?;
                }
                let batch = batch.window(sample, 1);
                plan.pass(network, batch, None);
                plan.gradients(network, (batch.x, Some(batch)), &mut buffer);
                network.pack(&buffer, out);
            }
            Ok(())
        })?;
        Ok(result.into_array())
    }

    /// The derivatives of each output by each feature.
    pub(super) fn jacobian<'py>(&mut self, py: Python<'py>, x: &Array<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (n_samples, n_features, n_outputs) = (x.shape()[0], x.shape()[1], self.n_outputs());
        let mut result = Fresh::<T>::new(py, &[n_samples, n_outputs, n_features])?;
        let rows = x.rows::<T>()?;
        if n_samples == 0 {
            return Ok(result.into_array());
        }
        self.settings.threads = Threads::AtMost(Threads::most()?);
        let at_a_time = self.at_a_time(n_samples).min(ROWS_AT_A_TIME);
        let mut plan = Plan::new(&self.network, at_a_time, self.settings.clone())?;
        let mut unit = zeros(n_outputs)?;
        let (network, out) = (&self.network, result.numbers_mut());
        let operations = work_per_step(network.n_parameters(), n_samples).saturating_mul(n_outputs);
        run_in_pieces(py, operations, |pieces| {
            let stride = n_outputs * n_features;
            for (start, out) in (0..n_samples).step_by(at_a_time).zip(out.chunks_mut(at_a_time * stride)) {
                let n = at_a_time.min(n_samples - start);
                let rows = rows.window(start, n);
                plan.forward(network, rows);
                for output in 0..n_outputs {
                    pieces.next()?;
                    unit[output] = T::ONE;
                    plan.backward(network, Matrix::new(&unit, n, n_outputs, 0));
                    unit[output] = T::ZERO;
                    let out = MatrixMut::new(&mut out[output * n_features..], n, n_features, stride);
                    plan.sample_gradient(network, rows, out);
                }
            }
            Ok(())
        })?;
        Ok(result.into_array())
    }

    pub(super) fn train_step(
        &mut self,
        py: Python<'_>,
        given: &Samples<'_>,
        rate: Rate,
        threads: Threads,
    ) -> PyResult<f64> {
        let mut row = Vec::new();
        let batch = given.batch::<T>(&mut row, self.settings.loss)?;
        check_samples(batch.x)?;
        self.settings.threads = threads;
        let operations = work_per_step(self.network.n_parameters(), given.n_samples());
        let plan = plan_for(&mut self.steps, &self.network, given.n_samples(), &self.settings)?;
        let (network, optimizer) = (&mut self.network, &mut self.optimizer);
        let loss = run_detached(py, operations, || plan.step(network, optimizer, batch, rate));
        if loss.is_finite() {
            self.changes();
            Ok(loss)
        } else {
            Err(Error::Diverged { epoch: 0, loss: Some(loss), at_once: true }.into())
        }
    }

    /// One step of the optimiser with gradients from elsewhere.
    pub(super) fn apply_gradients(&mut self, py: Python<'_>, gradients: &Array<'_>, rate: Rate) -> PyResult<()> {
        self.settings.threads = Threads::AtMost(1);
        let settings = Settings { stores_gradients: true, ..self.settings.clone() };
        let plan = plan_for(&mut self.steps, &self.network, 1, &settings)?;
        let mut buffer = zeros(self.network.buffer().as_slice().len())?;
        let (gradients, network, optimizer) = (gradients.numbers::<T>()?, &mut self.network, &mut self.optimizer);
        run_detached(py, work_per_step(network.n_parameters(), 1), || {
            network.unpack(gradients, &mut buffer);
            plan.apply(network, optimizer, &buffer, rate);
        });
        self.changes();
        Ok(())
    }

    /// Another optimiser, with the schedule of the one before.
    pub(super) fn set_optimizer(&mut self, options: Options) -> PyResult<()> {
        let schedule = self.optimizer.options().schedule;
        self.optimizer = Optimizer::new(Options { schedule, ..options }, &self.network)?;
        self.settings.stores_gradients = options.clip_norm.is_some();
        Ok(())
    }

    /// Weights and biases, as copies.
    pub(super) fn parameters<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>)> {
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

    pub(super) fn set_parameters(&mut self, layers: &Layers<Array<'_>>) -> PyResult<()> {
        let mut numbers = Vec::with_capacity(layers.len());
        for (weights, biases) in layers.weights.iter().zip(&layers.biases) {
            numbers.push((weights.numbers::<T>()?, biases.numbers::<T>()?));
        }
        for (layer, (weights, biases)) in numbers.into_iter().enumerate() {
            self.network.set_parameters(layer, weights, biases);
        }
        self.changes();
        Ok(())
    }

    /// All parameters in one vector.
    pub(super) fn parameter_vector<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.vector(py, self.network.buffer().as_slice())
    }

    pub(super) fn set_parameter_vector(&mut self, vector: &Array<'_>) -> PyResult<()> {
        let mut buffer = zeros(self.network.buffer().as_slice().len())?;
        self.network.unpack(vector.numbers::<T>()?, &mut buffer);
        self.network.buffer_mut().as_mut_slice().copy_from_slice(&buffer);
        self.changes();
        Ok(())
    }

    /// What the optimiser remembers: its steps and a vector for each number that it keeps of a parameter.
    pub(super) fn optimizer_state<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyList>)> {
        let vectors = PyList::empty(py);
        for state in self.optimizer.states().into_iter().take(self.optimizer.options().rule.n_states()) {
            vectors.append(self.vector(py, state)?)?;
        }
        Ok((self.optimizer.steps(), vectors))
    }

    pub(super) fn set_optimizer_state(&mut self, steps: u64, vectors: &[Array<'_>]) -> PyResult<()> {
        let numbers = vectors.iter().map(Array::numbers::<T>).collect::<PyResult<Vec<_>>>()?;
        for (numbers, state) in numbers.into_iter().zip(self.optimizer.states_mut()) {
            self.network.unpack(numbers, state);
        }
        self.optimizer.set_steps(steps);
        Ok(())
    }

    fn vector<'py>(&self, py: Python<'py>, buffer: &[T]) -> PyResult<Bound<'py, PyAny>> {
        let mut array = Fresh::<T>::new(py, &[self.network.n_parameters()])?;
        self.network.pack(buffer, array.numbers_mut());
        Ok(array.into_array())
    }
}
