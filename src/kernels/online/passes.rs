//! The passes of single samples, forward beside backward, with the steps that are owed, and the last of them.

use super::mirror::Mirror;
use crate::kernels::activation::{Derivative, with_activation};
use crate::kernels::layout::Place;
use crate::kernels::registers::{Chains, down_the_rows, for_each_register, step};
use crate::kernels::vector::{Arithmetic, Element, Pair, Vector};

/// A sample, what it leaves in the layers, and the learning rate of its step.
#[derive(Clone, Copy)]
pub(super) struct Passage<'a, T> {
    pub(super) x: *const T,
    pub(super) y: &'a [T],
    pub(super) activations: *mut T,
    pub(super) deltas: *mut T,
    pub(super) learning_rate: T,
}

impl<T: Element> Passage<'_, T> {
    /// What the step of one layer takes of it.
    ///
    /// # Safety
    ///
    /// These are some of a network's layers, from the first on, and the pointers are valid for them.
    #[inline(always)]
    pub(super) unsafe fn factors(&self, layers: &[Place], layer: usize) -> Factors<T> {
        // SAFETY: the caller's contract.
        unsafe {
            let input = if layer == 0 { self.x } else { self.activations.add(layers[layer - 1].rows).cast_const() };
            let deltas = self.deltas.add(layers[layer].rows).cast_const();
            Factors { learning_rate: self.learning_rate, input, deltas }
        }
    }
}

/// What the step of a layer is made of: each gradient is the product of an input and a delta.
#[derive(Clone, Copy)]
pub(super) struct Factors<T> {
    pub(super) learning_rate: T,
    pub(super) input: *const T,
    pub(super) deltas: *const T,
}

/// Fills the activations and returns the loss against the targets, 0 for none. If the parameters still have to take the step of the
/// sample `before`, they do so on the way: they are read and written once for both.
///
/// # Safety
///
/// The layers are those of a `Layout`, the pointers valid for what it says, the parameters to be written only if they take a step,
/// and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn forward<V: Vector>(
    layers: &[Place],
    before: Option<&Passage<'_, V::Element>>,
    (mut input, y): (*const V::Element, &[V::Element]),
    parameters: *mut V::Element,
    activations: *mut V::Element,
) -> f64 {
    // SAFETY: rows are whole registers, and a layer's input has its `n_inputs`.
    unsafe {
        for (i, layer) in layers.iter().enumerate() {
            let weights = parameters.add(layer.parameters);
            let biases = weights.add(layer.n_inputs * layer.stride);
            let out = activations.add(layer.rows);
            let owed = before.map(|before| before.factors(layers, i));
            for_each_register!(V, layer.width, |Registers, column| {
                let (weights, biases) = (weights.add(column), biases.add(column));
                let mut chain = Registers::<V>::load(biases);
                if let Some(owed) = owed {
                    let learning_rate = Registers::<V>::splat(owed.learning_rate);
                    let delta = Registers::<V>::load(owed.deltas.add(column));
                    chain = step(chain, (Registers::<V>::splat(V::Element::ONE), delta), learning_rate);
                    chain.store(biases);
                    down_the_rows!(weights, biases, layer.stride, (input, owed.input), |row, input, input_before| {
                        let factors = (Registers::<V>::splat(*input_before), delta);
                        let weights = step(Registers::<V>::load(row), factors, learning_rate);
                        weights.store(row);
                        chain = Registers::<V>::splat(*input).mul_add(weights, chain);
                    });
                } else {
                    down_the_rows!(weights, biases, layer.stride, (input), |row, input| {
                        chain = Registers::<V>::splat(*input).mul_add(Registers::<V>::load(row), chain);
                    });
                }
                with_activation!(layer.activation, F => chain.activate::<F>()).store(out.add(column));
            });
            input = out;
        }
        loss::<V>(input, y)
    }
}

/// Half the squared errors.
///
/// # Safety
///
/// There is a prediction for each target.
#[inline(always)]
unsafe fn loss<V: Vector>(predictions: *const V::Element, y: &[V::Element]) -> f64 {
    let mut chain = 0.0;
    for (o, &target) in y.iter().enumerate() {
        // SAFETY: the caller's contract.
        let error = unsafe { *predictions.add(o) - target }.to_f64();
        chain = error.mul_add(error, chain);
    }
    0.5 * chain
}

/// Goes back from the activations. The error goes through the weights as they are, for which the mirrors take the step of the sample
/// before, if there is one; or, for the notebook's gradient, through those that have taken the step of this one, which they take here.
///
/// # Safety
///
/// As for `forward`; there is a mirror of each layer but the first.
#[inline(always)]
pub(super) unsafe fn backward<V: Vector>(
    layers: &[Place],
    exact: bool,
    (before, now): (Option<&Passage<'_, V::Element>>, &Passage<'_, V::Element>),
    (mirrors, mirrored): (&[Mirror], *mut V::Element),
) {
    let last = &layers[layers.len() - 1];
    let owed = if exact { before } else { Some(now) };
    // SAFETY: the caller's contract.
    unsafe {
        with_activation!(last.activation, D => for (o, &target) in now.y.iter().enumerate() {
            let prediction = now.activations.add(last.rows + o);
            let slope = D::derivative(V::splat(*prediction));
            let delta = V::splat(*prediction - target).mul(slope).flush_subnormal();
            delta.store_first(now.deltas.add(last.rows + o), 1);
        });
        for (i, (input_layer, mirror)) in layers.iter().zip(mirrors).enumerate().rev() {
            let Factors { input, deltas, .. } = now.factors(layers, i + 1);
            let (activation, out) = (input_layer.activation, now.deltas.add(input_layer.rows));
            let owed = owed.map(|owed| owed.factors(layers, i + 1));
            mirror.input_gradient::<V>(owed, activation, (input, deltas), out, mirrored);
        }
    }
}

/// The step of a sample that has gone back.
///
/// # Safety
///
/// As for `forward`.
#[inline(always)]
pub(super) unsafe fn update<V: Vector>(
    layers: &[Place],
    passage: &Passage<'_, V::Element>,
    parameters: *mut V::Element,
) {
    for (i, layer) in layers.iter().enumerate() {
        // SAFETY: rows are whole registers, one for each input and one for the biases.
        unsafe {
            let factors = passage.factors(layers, i);
            let weights = parameters.add(layer.parameters);
            let biases = weights.add(layer.n_inputs * layer.stride);
            for_each_register!(V, layer.width, |Registers, column| {
                let learning_rate = Registers::<V>::splat(factors.learning_rate);
                let delta = Registers::<V>::load(factors.deltas.add(column));
                let (weights, biases) = (weights.add(column), biases.add(column));
                down_the_rows!(weights, biases, layer.stride, (factors.input), |row, input| {
                    let factors = (Registers::<V>::splat(*input), delta);
                    step(Registers::<V>::load(row), factors, learning_rate).store(row);
                });
                let factors = (Registers::<V>::splat(V::Element::ONE), delta);
                step(Registers::<V>::load(biases), factors, learning_rate).store(biases);
            });
        }
    }
}
