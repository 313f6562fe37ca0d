//! `Stored`: steps with gradients that are in memory, since the norm of all of them is to be bounded, or since they come from
//! elsewhere.

use std::ops::Range;

use super::optimizer::Optimizer;
use super::passes::Passes;
use super::rounds::{Block, Rounds, Update};
use crate::error::Error;
use crate::kernels::{Buffer, Descent, Element, Penalty, optimizer, zeros};
use crate::network::{Dense, Network};
use crate::parallel;

/// Gradients of all parameters, laid out as these.
#[derive(Debug)]
pub(super) struct Stored<T> {
    pub(super) gradients: Buffer<T>,
    /// The sum of squares of each row.
    squares: Vec<f64>,
}

/// The rows of a job's part, one by one: where each lies in the part, and whether it is the biases.
fn rows_of(layer: &Dense, rows: &Range<usize>) -> impl Iterator<Item = (Range<usize>, bool)> {
    let (stride, n_outputs, n_inputs) = (layer.stride(), layer.n_outputs(), layer.n_inputs());
    let start = rows.start;
    rows.clone().map(move |row| ((row - start) * stride..(row - start) * stride + n_outputs, row == n_inputs))
}

impl<T: Element> Stored<T> {
    /// Room for the gradients of a network.
    pub(super) fn of(network: &Network<T>) -> Result<Self, Error> {
        let n_rows = network.layers().iter().map(|layer| layer.n_inputs() + 1).sum();
        Ok(Self { gradients: Buffer::new(network.buffer().as_slice().len())?, squares: zeros(n_rows)? })
    }

    /// Takes the step of `descent`; gradients whose norm exceeds `bound` are made smaller first, all by the same factor.
    pub(super) fn step(
        &mut self,
        (passes, rounds): (&Passes, &mut Rounds),
        network: &mut Network<T>,
        optimizer: &mut Optimizer<T>,
        descent: &Descent<T>,
        bound: Option<f64>,
    ) {
        let threads = rounds.threads;
        for update in &mut rounds.updates {
            self.penalise((passes, threads), update, network, descent);
        }
        let scale = bound.map_or(1.0, |bound| self.scale(&passes.layers, bound));
        for update in &mut rounds.updates {
            self.take((passes, threads), update, network, (optimizer, descent), T::from_f64(scale));
        }
    }

    /// The factor that makes the norm of all gradients at most `bound`: 1 where one of them is infinite or NaN, so that the step
    /// passes it on.
    fn scale(&self, layers: &[Dense], bound: f64) -> f64 {
        let norm = self.squares.iter().fold(0.0, |sum, squares| sum + squares).sqrt();
        if norm == f64::INFINITY {
            self.scale_of_huge(layers, bound)
        } else if norm > bound {
            bound / norm
        } else {
            1.0
        }
    }

    /// The same where the squares overflow, as those of numbers above 10¹⁵⁴ do: with the norm in units of the largest magnitude,
    /// one chain over all numbers, ascending.
    fn scale_of_huge(&self, layers: &[Dense], bound: f64) -> f64 {
        let gradients = self.gradients.as_slice();
        let row = |layer: &Dense, row: usize| &gradients[layer.rows(row..row + 1)][..layer.n_outputs()];
        let rows = || layers.iter().flat_map(|layer| (0..=layer.n_inputs()).map(move |i| row(layer, i)));
        let numbers = || rows().flatten().map(|gradient| gradient.to_f64());
        let largest = numbers().fold(0.0, |largest: f64, gradient| largest.max(gradient.abs()));
        let squares = numbers().fold(0.0, |sum: f64, gradient| {
            let relative = gradient / largest;
            relative.mul_add(relative, sum)
        });
        let scale = bound / largest / squares.sqrt();
        if scale < 1.0 { scale } else { 1.0 }
    }

    /// The gradients that the rule sees, and the sums of their squares.
    fn penalise(
        &mut self,
        (passes, threads): (&Passes, usize),
        update: &mut Update,
        network: &Network<T>,
        descent: &Descent<T>,
    ) {
        let Update { jobs: parts, of_gradients, of_squares, .. } = update;
        let gradients = of_gradients.split(self.gradients.as_mut_slice());
        let squares = of_squares.split(&mut self.squares);
        let of_biases = descent.of_biases();
        parallel::run(threads, parts.len(), |_, jobs| {
            for job in jobs {
                let (mut gradients, mut squares) = (gradients.take(job), squares.take(job));
                for (part, Block { layer, rows, .. }) in parts[job].iter().enumerate() {
                    let layer = &passes.layers[*layer];
                    let parameters = &network.buffer().as_slice()[layer.rows(rows.clone())];
                    let (gradients, squares) = (gradients.get_mut(part), squares.get_mut(part));
                    for ((row, is_biases), sum) in rows_of(layer, rows).zip(squares) {
                        let penalty = if is_biases { &of_biases } else { descent }.penalty.as_ref();
                        let gradients = &mut gradients[row.clone()];
                        *sum = optimizer::penalise(passes.level, penalty, &parameters[row], gradients);
                    }
                }
            }
        });
    }

    /// The step itself.
    fn take(
        &mut self,
        (passes, threads): (&Passes, usize),
        update: &mut Update,
        network: &mut Network<T>,
        (optimizer, descent): (&mut Optimizer<T>, &Descent<T>),
        scale: T,
    ) {
        let decay_only = |penalty: Penalty<T>| {
            let clip = T::from_f64(f64::INFINITY);
            Penalty { l1: T::ZERO, l2: T::ZERO, clip, ..penalty }
        };
        let of_weights = Descent { penalty: descent.penalty.map(decay_only), ..*descent };
        let of_biases = Descent { penalty: None, ..*descent };
        let Update { jobs: parts, of_parameters, of_states: [of_first, of_second], .. } = update;
        let gradients = self.gradients.as_slice();
        let parameters = of_parameters.split(network.buffer_mut().as_mut_slice());
        let [first, second] = optimizer.states_mut();
        let n_states = descent.rule.n_states();
        let first = (n_states > 0).then(|| of_first.split(first));
        let second = (n_states > 1).then(|| of_second.split(second));
        parallel::run(threads, parts.len(), |_, jobs| {
            for job in jobs {
                let mut parameters = parameters.take(job);
                let mut first = first.as_ref().map(|state| state.take(job));
                let mut second = second.as_ref().map(|state| state.take(job));
                for (part, Block { layer, rows, .. }) in parts[job].iter().enumerate() {
                    let layer = &passes.layers[*layer];
                    let gradients = &gradients[layer.rows(rows.clone())];
                    let parameters = parameters.get_mut(part);
                    let first = first.as_mut().map_or(&mut [][..], |state| state.get_mut(part));
                    let second = second.as_mut().map_or(&mut [][..], |state| state.get_mut(part));
                    for (row, is_biases) in rows_of(layer, rows) {
                        let descent = if is_biases { &of_biases } else { &of_weights };
                        let of = |state: &[T]| if state.is_empty() { 0..0 } else { row.clone() };
                        let (of_first, of_second) = (of(first), of(second));
                        let states = [&mut first[of_first], &mut second[of_second]];
                        let gradients = (&gradients[row.clone()], scale);
                        optimizer::step(passes.level, descent, gradients, &mut parameters[row.clone()], states);
                    }
                }
            }
        });
    }
}
