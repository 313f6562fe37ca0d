//! The passes of single samples, forward beside backward, and the step of a layer.

use std::ops::Range;

use super::mirror::Mirror;
use crate::kernels::activation::{Derivative, with_activation};
use crate::kernels::layout::Place;
use crate::kernels::registers::{Chains, down_the_rows, for_each_register};
use crate::kernels::vector::{Arithmetic, Element, Pair, Vector};

/// Where all is that a step reads and writes.
pub(super) struct Numbers<T> {
    pub(super) parameters: *mut T,
    pub(super) activations: *mut T,
    pub(super) deltas: *mut T,
    /// Those of each layer but the first, one after the other.
    pub(super) mirrors: Range<*mut T>,
}

impl<T: Element> Numbers<T> {
    /// Fills the mirrors.
    ///
    /// # Safety
    ///
    /// The pointers are those of a `Layout` with these layers, and the CPU has the instructions of `V`.
    #[inline(always)]
    pub(super) unsafe fn fill_mirrors<V: Vector<Element = T>>(&self, layers: &[Place]) {
        let mut start = self.mirrors.start;
        for (before, layer) in layers.iter().zip(&layers[1..]) {
            // SAFETY: rows and columns are those of the weights, and of as large a mirror.
            unsafe {
                let mirror = Mirror::of(start, layer.n_outputs, before.width);
                let weights = self.parameters.add(layer.parameters);
                mirror.fill::<V>(weights, layer);
                start = mirror.mask.add(before.width);
            }
        }
    }
}

/// Fills the activations and returns the loss against the targets, 0 for none.
///
/// # Safety
///
/// The layers are those of a `Layout`, the pointers valid for what it says, and the CPU has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn forward<V: Vector>(
    layers: &[Place],
    (mut input, y): (*const V::Element, &[V::Element]),
    parameters: *const V::Element,
    activations: *mut V::Element,
) -> f64 {
    // SAFETY: rows are whole registers, and a layer's input has its `n_inputs`.
    unsafe {
        for layer in layers {
            let weights = parameters.add(layer.parameters);
            let out = activations.add(layer.rows);
            let biases = weights.add(layer.n_inputs * layer.stride);
            with_activation!(layer.activation, F => for_each_register!(V, layer.width, |Registers, column| {
                let mut chain = Registers::<V>::load(biases.add(column));
                down_the_rows!(weights.add(column), biases.add(column), layer.stride, input, |weight, input| {
                    chain = Registers::<V>::splat(*input).mul_add(Registers::<V>::load(weight), chain);
                });
                chain.activate::<F>().store(out.add(column));
            }));
            input = out;
        }
        let mut chain = 0.0;
        for (o, &target) in y.iter().enumerate() {
            let error = (*input.add(o) - target).to_f64();
            chain = error.mul_add(error, chain);
        }
        0.5 * chain
    }
}

/// Goes back from the activations, with one step of every layer, and of the mirrors unless it is the last.
///
/// # Safety
///
/// As for `forward`; the mirrors are those of the parameters.
#[inline(always)]
pub(super) unsafe fn backward<V: Vector>(
    layers: &[Place],
    (learning_rate, exact, is_last): (V::Element, bool, bool),
    (x, y): (*const V::Element, &[V::Element]),
    &Numbers { parameters, activations, deltas, ref mirrors }: &Numbers<V::Element>,
) {
    let last = &layers[layers.len() - 1];
    // SAFETY: the caller's contract; mirrors are passed from the last one back to the first.
    unsafe {
        with_activation!(last.activation, D => for (o, &target) in y.iter().enumerate() {
            let prediction = activations.add(last.rows + o);
            let slope = D::derivative(V::splat(*prediction));
            let delta = V::splat(*prediction - target).mul(slope).flush_subnormal();
            delta.store_first(deltas.add(last.rows + o), 1);
        });
        let mut mirror = mirrors.end;
        for (i, layer) in layers.iter().enumerate().rev() {
            let (weights, delta) = (parameters.add(layer.parameters), deltas.add(layer.rows));
            let Some(before) = i.checked_sub(1).map(|i| layers[i]) else {
                update::<V>(layer, learning_rate, x, delta, weights);
                break;
            };
            let (input, out) = (activations.add(before.rows).cast_const(), deltas.add(before.rows));
            mirror = mirror.sub((layer.n_outputs + 1) * before.width);
            let mirrored = Mirror::of(mirror, layer.n_outputs, before.width);
            if !exact {
                mirrored.update::<V>(learning_rate, input, delta);
            }
            with_activation!(before.activation, D => mirrored.input_gradient::<V, D>(delta, input, out));
            if exact && !is_last {
                mirrored.update::<V>(learning_rate, input, delta);
            }
            update::<V>(layer, learning_rate, input, delta, weights);
        }
    }
}

/// The step of one layer. The gradient of a weight is a chain of one product.
///
/// # Safety
///
/// The pointers are those of the layer, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn update<V: Vector>(
    layer: &Place,
    learning_rate: V::Element,
    input: *const V::Element,
    deltas: *const V::Element,
    weights: *mut V::Element,
) {
    // SAFETY: rows are whole registers, one for each input and one for the biases.
    unsafe {
        let biases = weights.add(layer.n_inputs * layer.stride);
        for_each_register!(V, layer.width, |Registers, column| {
            let (zero, one) = (Registers::<V>::splat(V::Element::ZERO), Registers::<V>::splat(V::Element::ONE));
            let learning_rate = Registers::<V>::splat(learning_rate);
            let delta = Registers::<V>::load(deltas.add(column));
            down_the_rows!(weights.add(column), biases.add(column), layer.stride, input, |weight, input| {
                let gradient = Registers::<V>::splat(*input).mul_add(delta, zero).flush_subnormal();
                gradient.neg_mul_add(learning_rate, Registers::<V>::load(weight)).store(weight);
            });
            let biases = biases.add(column);
            let gradient = one.mul_add(delta, zero).flush_subnormal();
            gradient.neg_mul_add(learning_rate, Registers::<V>::load(biases)).store(biases);
        });
    }
}
