//! `Training`: a training that is run some epochs at a time, with data of its own.

use std::sync::{Mutex, TryLockError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::super::arrays::{Fresh, Number};
use super::super::boundary::guarded;
use super::super::options::number;
use super::super::training::{Passage, Reporter, check_samples, count, run_trainer};
use super::arguments::Samples;
use super::owner::Owner;
use super::{Model, Network};
use crate::error::Error;
use crate::kernels::zeros;
use crate::parallel::Threads;
use crate::training::{Batches, Epoch, Rate, Trainer};

/// A trainer on copies of the data.
pub(super) fn trainer<T: Number>(
    owner: &mut Owner<T>,
    given: &Samples<'_>,
    passage: Passage,
    threads: Threads,
) -> PyResult<Trainer<T>> {
    let mut row = Vec::new();
    let batch = given.batch::<T>(&mut row, owner.settings.loss)?;
    check_samples(batch.x)?;
    let batches = Batches::new(batch, passage.batch_size, passage.seed)?;
    owner.settings.threads = threads;
    Ok(Trainer::new(&owner.network, &owner.optimizer, batches, owner.settings.clone())?)
}

/// A whole training, with the rates of the schedule or a given one.
pub(super) fn train<T: Number>(
    py: Python<'_>,
    owner: &mut Owner<T>,
    given: &Samples<'_>,
    (passage, threads): (Passage, Threads),
    (epochs, rate): (usize, Rate),
) -> PyResult<Vec<Epoch>> {
    let mut trainer = trainer(owner, given, passage, threads)?;
    run(py, owner, &mut trainer, epochs, rate)
}

fn run<T: Number>(
    py: Python<'_>,
    owner: &mut Owner<T>,
    trainer: &mut Trainer<T>,
    epochs: usize,
    rate: Rate,
) -> PyResult<Vec<Epoch>> {
    let mut records = zeros(epochs)?;
    owner.changes();
    trainer.follow(&owner.network, &owner.optimizer, &owner.settings)?;
    let trained = (&mut owner.network, &mut owner.optimizer);
    run_trainer(py, trainer, trained, rate, &mut Reporter::silent(), &mut records)?;
    Ok(records)
}

/// See `ironprop.Network.fit`.
#[pyclass(frozen, module = "ironprop._core")]
pub(in crate::bindings) struct Training {
    network: Py<Network>,
    /// None once it has failed or was stopped, at some step of an epoch.
    trainer: Mutex<Option<AnyTrainer>>,
}

enum AnyTrainer {
    F32(Trainer<f32>),
    F64(Trainer<f64>),
}

impl Training {
    pub(super) fn new(
        network: &Bound<'_, Network>,
        given: &Samples<'_>,
        passage: Passage,
        threads: Threads,
    ) -> PyResult<Self> {
        let trainer = match &mut *network.get().model(network.py())? {
            Model::F32(owner) => AnyTrainer::F32(trainer(owner, given, passage, threads)?.timed()),
            Model::F64(owner) => AnyTrainer::F64(trainer(owner, given, passage, threads)?.timed()),
        };
        Ok(Self { network: network.clone().unbind(), trainer: Mutex::new(Some(trainer)) })
    }
}

#[pymethods]
impl Training {
    /// Goes on for so many epochs, with the learning rates of the schedule times `scale`: losses, rates and seconds.
    fn run<'py>(
        &self,
        py: Python<'py>,
        epochs: &Bound<'py, PyAny>,
        scale: &Bound<'py, PyAny>,
    ) -> PyResult<[Bound<'py, PyAny>; 3]> {
        guarded(|| {
            let epochs = count("epochs", epochs, 0, usize::MAX)?;
            let scale = number("scale", scale)?;
            if !(scale > 0.0 && scale.is_finite()) {
                let (expected, value) = ("a positive finite number".to_owned(), scale.to_string());
                return Err(Error::OutOfRange { option: "scale", expected, value }.into());
            }
            let mut trainer = self.trainer.try_lock().map_err(|error| {
                PyRuntimeError::new_err(match error {
                    TryLockError::WouldBlock => "the training is running in another thread",
                    TryLockError::Poisoned(_) => "the training is unusable since an internal error",
                })
            })?;
            let rate = Rate::Scheduled(scale);
            let records = match (&mut *self.network.get().model_to_train(py)?, &mut *trainer) {
                (Model::F32(owner), Some(AnyTrainer::F32(trainer))) => run(py, owner, trainer, epochs, rate),
                (Model::F64(owner), Some(AnyTrainer::F64(trainer))) => run(py, owner, trainer, epochs, rate),
                (_, None) => Err(PyRuntimeError::new_err("the training has ended within an epoch: begin another one")),
                _ => unreachable!("a training has the type of its network"),
            };
            if records.is_err() {
                *trainer = None;
            }
            let records = records?;
            let column = |of: fn(&Epoch) -> f64| -> PyResult<Bound<'py, PyAny>> {
                let mut array = Fresh::<f64>::new(py, &[records.len()])?;
                for (out, record) in array.numbers_mut().iter_mut().zip(&records) {
                    *out = of(record);
                }
                Ok(array.into_array())
            };
            Ok([column(|epoch| epoch.loss)?, column(|epoch| epoch.learning_rate)?, column(|epoch| epoch.seconds)?])
        })
    }
}
