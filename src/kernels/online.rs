//! One sample through a whole small network: the passes of `dense.rs` and `loss.rs` for a batch of one, in one piece.
//!
//! A network of a few dozen weights does less arithmetic in a step than a call for each product costs. Here a pass is one
//! kernel: all layers, on rows that are padded to whole registers, with nothing decided inside. The chains are those of
//! the other kernels, so the bits are too.

use super::activation::{Activation, Derivative, Function, with_activation};
use super::level::{Kernel, Level};
use super::vector::{Element, Vector};

/// Where a layer lies: its weights, row by row, and then its biases in the parameters, and its row in the activations and
/// in the deltas.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Width of the input.
    pub n_inputs: usize,
    /// Width of the output.
    pub n_outputs: usize,
    /// What makes activations of the pre-activations.
    pub activation: Activation,
    /// The width of a row: whole registers.
    pub stride: usize,
    /// Where its parameters begin.
    pub parameters: usize,
    /// Where its row begins among the activations, and among the deltas.
    pub row: usize,
}

/// The layers of a network, checked once, and the lengths of the slices that hold them.
#[derive(Debug)]
pub struct Places {
    level: Level,
    lanes: usize,
    layers: Vec<Place>,
    n_parameters: usize,
    n_activations: usize,
}

impl Places {
    /// Checks a chain of layers that lie one after the other.
    ///
    /// # Panics
    ///
    /// If there is none, one does not take what the one before gives, a row is no whole number of registers, they do
    /// not follow each other, or an activation needs more than its results for the way back.
    #[must_use]
    pub fn new<T: Element>(level: Level, layers: Vec<Place>) -> Self {
        assert!(!layers.is_empty(), "no layers");
        let lanes = level.lanes::<T>();
        let (mut n_parameters, mut n_activations) = (0, 0);
        let mut n_inputs = layers[0].n_inputs;
        for layer in &layers {
            assert!(Self::knows(layer.activation), "the derivative comes from the result");
            assert_eq!(layer.n_inputs, n_inputs, "a layer takes what the one before gives");
            let whole = layer.stride >= layer.n_outputs && layer.stride.is_multiple_of(lanes);
            assert!(whole, "rows are whole registers");
            assert_eq!(layer.parameters, n_parameters, "parameters follow each other");
            assert_eq!(layer.row, n_activations, "rows follow each other");
            let size = layer.n_inputs.checked_add(1).and_then(|rows| rows.checked_mul(layer.stride));
            let end = size.and_then(|size| size.checked_add(n_parameters));
            n_parameters = end.expect("the size of a network overflows");
            n_activations = layer.stride.checked_add(n_activations).expect("the size of a network overflows");
            n_inputs = layer.n_outputs;
        }
        Self { level, lanes, layers, n_parameters, n_activations }
    }

    /// Whether layers may have this activation: here nothing is kept but results, and they are of single numbers.
    #[must_use]
    pub fn knows(activation: Activation) -> bool {
        !activation.keeps_derivative() && activation != Activation::Softmax
    }

    fn last(&self) -> &Place {
        &self.layers[self.layers.len() - 1]
    }

    fn check<T: Element>(&self, x: &[T], y: Option<&[T]>, (parameters, activations): (usize, usize)) {
        assert_eq!(self.lanes, self.level.lanes::<T>(), "made for another number type");
        assert_eq!(x.len(), self.layers[0].n_inputs, "width of x");
        assert!(y.is_none_or(|y| y.len() == self.last().n_outputs), "width of the targets");
        assert_eq!(parameters, self.n_parameters, "number of parameters");
        assert_eq!(activations, self.n_activations, "number of activations");
    }

    /// Fills the activations for `x` and returns the loss against `y`, if there are targets.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length.
    pub fn forward_pass<T: Element>(
        &self,
        (x, y): (&[T], Option<&[T]>),
        parameters: &[T],
        activations: &mut [T],
    ) -> f64 {
        self.check(x, y, (parameters.len(), activations.len()));
        let y = y.unwrap_or_default();
        self.level.run(ForwardPass { places: self, x, y, parameters, activations })
    }

    /// Goes back from the activations of `x`, and takes one step of gradient descent. `exact` goes through the old weights,
    /// otherwise through those just updated.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length.
    pub fn backward_pass<T: Element>(
        &self,
        (learning_rate, exact): (T, bool),
        (x, y): (&[T], &[T]),
        parameters: &mut [T],
        activations: &[T],
        deltas: &mut [T],
    ) {
        self.check(x, Some(y), (parameters.len(), activations.len()));
        assert_eq!(deltas.len(), self.n_activations, "number of deltas");
        self.level.run(BackwardPass { places: self, learning_rate, exact, x, y, parameters, activations, deltas });
    }
}

struct ForwardPass<'a, T> {
    places: &'a Places,
    x: &'a [T],
    y: &'a [T],
    parameters: &'a [T],
    activations: &'a mut [T],
}

impl<T: Element> Kernel<T> for ForwardPass<'_, T> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> f64 {
        let Self { places, x, y, parameters, activations } = self;
        let (parameters, activations) = (parameters.as_ptr(), activations.as_mut_ptr());
        let mut input = x.as_ptr();
        // SAFETY: `Places::new` has checked where the layers lie, `check` that the slices hold them: rows are whole
        // registers, and a layer's input has its `n_inputs`.
        unsafe {
            for layer in &places.layers {
                let weights = parameters.add(layer.parameters);
                let out = activations.add(layer.row);
                with_activation!(layer.activation, F => for column in (0..layer.stride).step_by(V::LANES) {
                    let mut chain = V::load(weights.add(layer.n_inputs * layer.stride + column));
                    for i in 0..layer.n_inputs {
                        let weight = V::load(weights.add(i * layer.stride + column));
                        chain = V::splat(*input.add(i)).mul_add(weight, chain);
                    }
                    F::function(chain).store(out.add(column));
                });
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
}

struct BackwardPass<'a, T> {
    places: &'a Places,
    learning_rate: T,
    exact: bool,
    x: &'a [T],
    y: &'a [T],
    parameters: &'a mut [T],
    activations: &'a [T],
    deltas: &'a mut [T],
}

impl<T: Element> Kernel<T> for BackwardPass<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { places, learning_rate, exact, x, y, parameters, activations, deltas } = self;
        let parameters = parameters.as_mut_ptr();
        let (activations, deltas) = (activations.as_ptr(), deltas.as_mut_ptr());
        // SAFETY: `Places::new` has checked where the layers lie, `check` that the slices hold them.
        unsafe {
            let last = places.last().row;
            with_activation!(places.last().activation, D => for (o, &target) in y.iter().enumerate() {
                let prediction = activations.add(last + o);
                let slope = D::derivative(V::splat(*prediction));
                let delta = V::splat(*prediction - target).mul(slope).flush_subnormal();
                delta.store_first(deltas.add(last + o), 1);
            });
            for (i, layer) in places.layers.iter().enumerate().rev() {
                let (weights, delta) = (parameters.add(layer.parameters), deltas.add(layer.row));
                let Some(before) = i.checked_sub(1).map(|i| places.layers[i]) else {
                    update::<V>(layer, learning_rate, x.as_ptr(), delta, weights);
                    break;
                };
                let (input, out) = (activations.add(before.row), deltas.add(before.row));
                if !exact {
                    update::<V>(layer, learning_rate, input, delta, weights);
                }
                with_activation!(before.activation, D => input_gradient::<V, D>(layer, delta, weights, input, out));
                if exact {
                    update::<V>(layer, learning_rate, input, delta, weights);
                }
            }
        }
    }
}

/// The deltas of the layer before. A chain runs along a row of weights, so that no lanes can share it: number by number,
/// the chains of several inputs beside each other in the CPU.
///
/// # Safety
///
/// The pointers are those of the layer, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn input_gradient<V: Vector, D: Derivative>(
    layer: &Place,
    deltas: *const V::Element,
    weights: *const V::Element,
    input: *const V::Element,
    out: *mut V::Element,
) {
    for i in 0..layer.n_inputs {
        // SAFETY: `i` is a row of the weights, `o` a column of it and one of the deltas.
        unsafe {
            let row = weights.add(i * layer.stride);
            let mut chain = V::Element::ZERO;
            for o in 0..layer.n_outputs {
                chain = (*deltas.add(o)).mul_add(*row.add(o), chain);
            }
            let slope = D::derivative(V::splat(*input.add(i)));
            V::splat(chain).mul(slope).flush_subnormal().store_first(out.add(i), 1);
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
        let (zero, one) = (V::splat(V::Element::ZERO), V::splat(V::Element::ONE));
        let learning_rate = V::splat(learning_rate);
        for column in (0..layer.stride).step_by(V::LANES) {
            let delta = V::load(deltas.add(column));
            for i in 0..=layer.n_inputs {
                let weight = weights.add(i * layer.stride + column);
                let factor = if i < layer.n_inputs { V::splat(*input.add(i)) } else { one };
                let gradient = factor.mul_add(delta, zero).flush_subnormal();
                gradient.neg_mul_add(learning_rate, V::load(weight)).store(weight);
            }
        }
    }
}
