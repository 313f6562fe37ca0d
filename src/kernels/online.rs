//! Single samples through a whole small network: the passes of `dense.rs` and `loss.rs` for a batch of one, and the steps of
//! plain descent of `update.rs`, in one piece.
//!
//! A network of a few dozen weights does less arithmetic in a step than a call for each product costs, and its steps are one
//! chain of dependent operations. Here all layers of a pass are one kernel, and so are steps that follow each other, on rows
//! that are padded to whole registers, with nothing decided inside. The chains are those of the other kernels, so the bits are too.

use std::ops::Range;

use super::activation::{Activation, Derivative, Function, with_activation};
use super::level::{Kernel, Level};
use super::matrix::Matrix;
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
    n_mirrored: usize,
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
        let (mut n_parameters, mut n_activations, mut n_mirrored) = (0_usize, 0_usize, 0_usize);
        let mut stride = 0_usize;
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
            let size = stride.checked_mul(layer.n_outputs.saturating_add(1));
            let end = size.and_then(|size| size.checked_add(n_mirrored));
            n_mirrored = end.expect("the size of a network overflows");
            (n_inputs, stride) = (layer.n_outputs, layer.stride);
        }
        Self { level, lanes, layers, n_parameters, n_activations, n_mirrored }
    }

    /// Numbers of workspace that `descend` takes.
    #[must_use]
    pub fn workspace(&self) -> usize {
        self.n_mirrored
    }

    /// Whether layers may have this activation: here nothing is kept but results, and they are of single numbers.
    #[must_use]
    pub fn knows(activation: Activation) -> bool {
        !activation.keeps_derivative() && activation != Activation::Softmax
    }

    fn last(&self) -> &Place {
        &self.layers[self.layers.len() - 1]
    }

    fn check<T: Element>(&self, (x, y): (usize, Option<usize>), (parameters, activations): (usize, usize)) {
        assert_eq!(self.lanes, self.level.lanes::<T>(), "made for another number type");
        assert_eq!(x, self.layers[0].n_inputs, "width of x");
        assert!(y.is_none_or(|y| y == self.last().n_outputs), "width of the targets");
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
        self.check::<T>((x.len(), y.map(<[T]>::len)), (parameters.len(), activations.len()));
        let y = y.unwrap_or_default();
        self.level.run(ForwardPass { places: self, x, y, parameters, activations })
    }

    /// Takes steps as long as the loss is finite: fills the loss before each of them, the first that is not included, and
    /// returns how many were taken.
    ///
    /// # Panics
    ///
    /// If a slice has the wrong length, or there is no such sample.
    pub fn descend<T: Element>(
        &self,
        steps: Steps<'_, T>,
        parameters: &mut [T],
        (activations, deltas): (&mut [T], &mut [T]),
        losses: &mut [f64],
        workspace: &mut [T],
    ) -> usize {
        let Steps { x, y, order, rates, .. } = steps;
        let widths = (x.columns(), Some(y.columns()));
        self.check::<T>(widths, (parameters.len(), activations.len()));
        assert_eq!(deltas.len(), self.n_activations, "number of deltas");
        assert!(workspace.len() >= self.n_mirrored, "the workspace is too small");
        assert_eq!((rates.len(), losses.len()), (order.len(), order.len()), "rates, losses");
        let n_samples = x.rows().min(y.rows());
        assert!(order.iter().all(|sample| *sample < n_samples), "no such sample");
        self.level.run(Descend { places: self, steps, parameters, activations, deltas, losses, workspace })
    }
}

/// Steps of gradient descent, each with one sample.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, T> {
    /// All samples (B, I).
    pub x: Matrix<'a, T>,
    /// Their targets (B, O).
    pub y: Matrix<'a, T>,
    /// The sample of each step.
    pub order: &'a [usize],
    /// The learning rate of each step.
    pub rates: &'a [f64],
    /// The error goes back through the old weights, otherwise through those just updated.
    pub exact: bool,
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
        // SAFETY: `check` has seen that the slices hold what the layers' places say.
        unsafe { forward::<V>(&places.layers, (x.as_ptr(), y), parameters.as_ptr(), activations.as_mut_ptr()) }
    }
}

struct Descend<'a, T> {
    places: &'a Places,
    steps: Steps<'a, T>,
    parameters: &'a mut [T],
    activations: &'a mut [T],
    deltas: &'a mut [T],
    losses: &'a mut [f64],
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Descend<'_, T> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        let Self { places, steps, parameters, activations, deltas, losses, workspace } = self;
        let Steps { x, y, order, rates, exact } = steps;
        let layers = &places.layers[..];
        let numbers = Numbers {
            parameters: parameters.as_mut_ptr(),
            activations: activations.as_mut_ptr(),
            deltas: deltas.as_mut_ptr(),
            mirrors: workspace[..places.n_mirrored].as_mut_ptr_range(),
        };
        // SAFETY: `descend` has checked the widths of the samples, and that the slices hold what the layers' places say.
        unsafe {
            numbers.mirror(layers);
            for (step, ((&sample, &rate), loss)) in order.iter().zip(rates).zip(losses).enumerate() {
                let sample = (x.row(sample).as_ptr(), y.row(sample));
                *loss = forward::<V>(layers, sample, numbers.parameters, numbers.activations);
                if !loss.is_finite() {
                    return step;
                }
                backward::<V>(layers, (T::from_f64(rate), exact), sample, &numbers);
            }
        }
        order.len()
    }
}

/// Where all is that a step reads and writes.
struct Numbers<T> {
    parameters: *mut T,
    activations: *mut T,
    deltas: *mut T,
    /// For each layer but the first its weights transposed, rows as wide as those of the layer before, and a row of ones with
    /// zeros for the padding. Here the chains of an input gradient lie in one register; the step is taken here too.
    mirrors: Range<*mut T>,
}

impl<T: Element> Numbers<T> {
    /// Fills the mirrors.
    ///
    /// # Safety
    ///
    /// The pointers are those of a `Places` with these layers.
    unsafe fn mirror(&self, layers: &[Place]) {
        let mut mirror = self.mirrors.start;
        for (&Place { stride, .. }, layer) in layers.iter().zip(&layers[1..]) {
            // SAFETY: rows and columns are those of the weights, and of as large a mirror.
            unsafe {
                let weights = self.parameters.add(layer.parameters);
                for row in 0..=layer.n_outputs {
                    for column in 0..stride {
                        let number = match column {
                            _ if column >= layer.n_inputs => T::ZERO,
                            _ if row == layer.n_outputs => T::ONE,
                            _ => *weights.add(column * layer.stride + row),
                        };
                        mirror.add(row * stride + column).write(number);
                    }
                }
                mirror = mirror.add((layer.n_outputs + 1) * stride);
            }
        }
    }
}

/// Runs the body for the first column of each register of a row. (A range with a step costs more than the body.)
macro_rules! for_each_register {
    ($V:ident, $stride:expr, |$column:ident| $body:expr) => {{
        let mut $column = 0;
        while $column < $stride {
            $body;
            $column += $V::LANES;
        }
    }};
}

/// Runs the body for each row from one place up to another, and for the number that belongs to it. (Such a loop is not unrolled,
/// which would cost more than its few turns.)
macro_rules! down_the_rows {
    ($first:expr, $end:expr, $stride:expr, $numbers:expr, |$row:ident, $number:ident| $body:expr) => {{
        let (mut $row, mut $number, end) = ($first, $numbers, $end);
        while $row != end {
            $body;
            $row = $row.add($stride);
            $number = $number.add(1);
        }
    }};
}

/// Fills the activations and returns the loss against the targets, 0 for none.
///
/// # Safety
///
/// The layers are those of a `Places`, the pointers valid for what it says, and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn forward<V: Vector>(
    layers: &[Place],
    (mut input, y): (*const V::Element, &[V::Element]),
    parameters: *const V::Element,
    activations: *mut V::Element,
) -> f64 {
    // SAFETY: rows are whole registers, and a layer's input has its `n_inputs`.
    unsafe {
        for layer in layers {
            let weights = parameters.add(layer.parameters);
            let out = activations.add(layer.row);
            let biases = weights.add(layer.n_inputs * layer.stride);
            with_activation!(layer.activation, F => for_each_register!(V, layer.stride, |column| {
                let mut chain = V::load(biases.add(column));
                down_the_rows!(weights.add(column), biases.add(column), layer.stride, input, |weight, input| {
                    chain = V::splat(*input).mul_add(V::load(weight), chain);
                });
                F::function(chain).store(out.add(column));
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

/// Goes back from the activations, with one step of every layer.
///
/// # Safety
///
/// As for `forward`; the mirrors are those of the parameters.
#[inline(always)]
unsafe fn backward<V: Vector>(
    layers: &[Place],
    (learning_rate, exact): (V::Element, bool),
    (x, y): (*const V::Element, &[V::Element]),
    &Numbers { parameters, activations, deltas, ref mirrors }: &Numbers<V::Element>,
) {
    let last = &layers[layers.len() - 1];
    // SAFETY: the caller's contract; mirrors are passed from the last one back to the first.
    unsafe {
        with_activation!(last.activation, D => for (o, &target) in y.iter().enumerate() {
            let prediction = activations.add(last.row + o);
            let slope = D::derivative(V::splat(*prediction));
            let delta = V::splat(*prediction - target).mul(slope).flush_subnormal();
            delta.store_first(deltas.add(last.row + o), 1);
        });
        let mut mirror = mirrors.end;
        for (i, layer) in layers.iter().enumerate().rev() {
            let (weights, delta) = (parameters.add(layer.parameters), deltas.add(layer.row));
            let Some(before) = i.checked_sub(1).map(|i| layers[i]) else {
                update::<V>(layer, learning_rate, x, delta, weights);
                break;
            };
            let (input, out) = (activations.add(before.row).cast_const(), deltas.add(before.row));
            let mask = mirror.sub(before.stride);
            mirror = mask.sub(layer.n_outputs * before.stride);
            let mirrored = Mirror { start: mirror, mask, stride: before.stride };
            if !exact {
                mirrored.update::<V>(learning_rate, input, delta);
            }
            with_activation!(before.activation, D => mirrored.input_gradient::<V, D>(delta, input, out));
            if exact {
                mirrored.update::<V>(learning_rate, input, delta);
            }
            update::<V>(layer, learning_rate, input, delta, weights);
        }
    }
}

/// The mirror of one layer's weights.
struct Mirror<T> {
    start: *mut T,
    /// The row after the last.
    mask: *mut T,
    stride: usize,
}

impl<T: Element> Mirror<T> {
    /// The deltas of the layer before. Those of its padding are zeros, or NaN where a delta is infinite, which nothing else reads.
    ///
    /// # Safety
    ///
    /// The pointers are those of the layer, and the CPU has the instructions of `V`.
    #[inline(always)]
    unsafe fn input_gradient<V: Vector<Element = T>, D: Derivative>(
        &self,
        deltas: *const T,
        input: *const T,
        out: *mut T,
    ) {
        // SAFETY: rows are whole registers, one for each delta.
        unsafe {
            for_each_register!(V, self.stride, |column| {
                let mut chain = V::splat(T::ZERO);
                let (start, end) = (self.start.add(column), self.mask.add(column));
                down_the_rows!(start, end, self.stride, deltas, |row, delta| {
                    chain = V::splat(*delta).mul_add(V::load(row), chain);
                });
                let slope = D::derivative(V::load(input.add(column)));
                chain.mul(slope).flush_subnormal().store(out.add(column));
            });
        }
    }

    /// The step of the weights once more; padding stays zero, or becomes NaN as above.
    ///
    /// # Safety
    ///
    /// As for `input_gradient`.
    #[inline(always)]
    unsafe fn update<V: Vector<Element = T>>(&self, learning_rate: T, input: *const T, deltas: *const T) {
        // SAFETY: as above.
        unsafe {
            let (zero, learning_rate) = (V::splat(T::ZERO), V::splat(learning_rate));
            for_each_register!(V, self.stride, |column| {
                let (start, end) = (self.start.add(column), self.mask.add(column));
                let input = V::load(input.add(column)).mul(V::load(end));
                down_the_rows!(start, end, self.stride, deltas, |row, delta| {
                    let gradient = input.mul_add(V::splat(*delta), zero).flush_subnormal();
                    gradient.neg_mul_add(learning_rate, V::load(row)).store(row);
                });
            });
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
        let biases = weights.add(layer.n_inputs * layer.stride);
        for_each_register!(V, layer.stride, |column| {
            let delta = V::load(deltas.add(column));
            let step = |factor: V, weight: *mut V::Element| {
                let gradient = factor.mul_add(delta, zero).flush_subnormal();
                gradient.neg_mul_add(learning_rate, V::load(weight)).store(weight);
            };
            down_the_rows!(weights.add(column), biases.add(column), layer.stride, input, |weight, input| {
                step(V::splat(*input), weight);
            });
            step(one, biases.add(column));
        });
    }
}
