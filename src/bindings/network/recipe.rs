//! What a network is trained with, as Python says it: names and numbers, each checked.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::super::arrays::Dtype;
use super::super::convert::type_name;
use super::super::options::{named, number};
use crate::error::Error;
use crate::kernels::{Element, Loss, Rule};
use crate::training::{Options, Schedule, Shape};

fn out_of_range(option: &'static str, expected: &str, value: f64) -> PyErr {
    Error::OutOfRange { option, expected: expected.to_owned(), value: value.to_string() }.into()
}

/// A loss by its name; `parameter` is what some of them have.
pub(super) fn read_loss(name: &Bound<'_, PyAny>, parameter: &Bound<'_, PyAny>) -> PyResult<Loss> {
    let loss = named("loss", name, Loss::ALL)?;
    Ok(match loss {
        Loss::Huber { .. } => {
            let delta = number("delta", parameter)?;
            if !(delta > 0.0 && delta.is_finite()) {
                return Err(out_of_range("delta", "a positive finite number", delta));
            }
            Loss::Huber { delta }
        }
        Loss::Quantile { .. } => {
            let quantile = number("quantile", parameter)?;
            if !(0.0 < quantile && quantile < 1.0) {
                return Err(out_of_range("quantile", "a number between 0 and 1", quantile));
            }
            Loss::Quantile { quantile }
        }
        loss => loss,
    })
}

/// A range that the numbers of an option lie in.
type Range = (fn(f64) -> bool, &'static str);

const POSITIVE: Range = (|x| x > 0.0 && x.is_finite(), "a positive finite number");
const NOT_NEGATIVE: Range = (|x| x >= 0.0 && x.is_finite(), "a finite number of at least 0");
const DECAY: Range = (|x| (0.0..1.0).contains(&x), "a number from 0 to below 1");

/// The numbers of each rule, in the order of `Options::numbers`, with their ranges.
fn numbers_of(rule: Rule) -> &'static [(&'static str, Range)] {
    match rule {
        Rule::Sgd => &[],
        Rule::Momentum | Rule::Nesterov => &[("momentum", DECAY)],
        Rule::RmsProp => &[("rho", DECAY), ("epsilon", POSITIVE)],
        Rule::Adagrad => &[("epsilon", POSITIVE)],
        Rule::Adam => &[("beta_1", DECAY), ("beta_2", DECAY), ("epsilon", POSITIVE)],
        Rule::Rprop => &[
            ("shrink", (|x| 0.0 < x && x < 1.0, "a number between 0 and 1")),
            ("grow", (|x| x > 1.0 && x.is_finite(), "a finite number above 1")),
            ("least_step", POSITIVE),
            ("most_step", POSITIVE),
        ],
    }
}

/// An optimiser by its name and numbers; its schedule is set by another call.
pub(super) fn read_optimizer(name: &Bound<'_, PyAny>, given: &Bound<'_, PyDict>, dtype: Dtype) -> PyResult<Options> {
    let rule = named("optimizer", name, Rule::ALL)?;
    let read = |option: &'static str, (fits, expected): Range| -> PyResult<Option<f64>> {
        let Some(value) = given.get_item(option)? else { return Ok(None) };
        let value = number(option, &value)?;
        // What the steps are taken with is a number of the network's type.
        let rounded = if dtype == Dtype::F32 { f32::from_f64(value).to_f64() } else { value };
        if fits(rounded) { Ok(Some(value)) } else { Err(out_of_range(option, expected, value)) }
    };
    let mut options = Options { rule, ..Options::sgd(0.0) };
    for (place, (option, range)) in options.numbers.iter_mut().zip(numbers_of(rule)) {
        let missing = || PyTypeError::new_err(format!("the optimizer lacks {option}"));
        *place = read(option, *range)?.ok_or_else(missing)?;
    }
    options.l1 = read("l1", NOT_NEGATIVE)?.unwrap_or(0.0);
    options.l2 = read("l2", NOT_NEGATIVE)?.unwrap_or(0.0);
    options.weight_decay = read("weight_decay", NOT_NEGATIVE)?.unwrap_or(0.0);
    options.clip_norm = read("clip_norm", POSITIVE)?;
    options.clip_value = read("clip_value", POSITIVE)?;
    let common = ["l1", "l2", "weight_decay", "clip_norm", "clip_value"];
    for option in given.keys() {
        let option: String = option.extract()?;
        if !numbers_of(rule).iter().map(|(name, _)| *name).chain(common).any(|known| known == option) {
            return Err(PyTypeError::new_err(format!("the optimizer has no option {option:?}")));
        }
    }
    Ok(options)
}

/// A schedule by its name and numbers.
pub(super) fn read_schedule(
    name: &Bound<'_, PyAny>,
    rate: &Bound<'_, PyAny>,
    first: &Bound<'_, PyAny>,
    second: &Bound<'_, PyAny>,
    warm_up: u64,
) -> PyResult<Schedule> {
    const NAMES: &[(&str, u8)] = &[("constant", 0), ("step", 1), ("exponential", 2), ("cosine", 3)];
    let read = |option, value, (fits, expected): Range| {
        let value = number(option, value)?;
        if fits(value) { Ok(value) } else { Err(out_of_range(option, expected, value)) }
    };
    let rate = read("learning_rate", rate, POSITIVE)?;
    let shape = match named("schedule", name, NAMES)? {
        0 => Shape::Constant,
        1 => Shape::Step { factor: read("factor", first, POSITIVE)?, every: read("every", second, POSITIVE)? },
        2 => Shape::Exponential { factor: read("factor", first, POSITIVE)?, every: read("every", second, POSITIVE)? },
        _ => Shape::Cosine { steps: read("steps", first, POSITIVE)?, last: read("final", second, NOT_NEGATIVE)? },
    };
    Ok(Schedule { rate, shape, warm_up })
}

/// The probability with which the outputs of each hidden layer are left out.
pub(super) fn read_dropout(rates: &Bound<'_, PyAny>, n_hidden: usize) -> PyResult<Vec<f64>> {
    let wrong = || PyTypeError::new_err(format!("dropout must be a sequence of numbers, got {}", type_name(rates)));
    let rates = rates.try_iter().map_err(|_| wrong())?.map(|rate| number("dropout", &rate?));
    let rates = rates.collect::<PyResult<Vec<_>>>()?;
    if rates.len() != n_hidden {
        let (expected, value) =
            (format!("one number for each of the {n_hidden} hidden layers"), rates.len().to_string());
        return Err(Error::OutOfRange { option: "dropout", expected, value }.into());
    }
    if let Some(rate) = rates.iter().find(|rate| !(0.0..1.0).contains(*rate)) {
        return Err(out_of_range("dropout", DECAY.1, *rate));
    }
    Ok(if rates.iter().all(|rate| *rate == 0.0) { Vec::new() } else { rates })
}
