//! The dense layer's three products, forward beside backward: safe entries that check sizes, then run at a level.
//!
//! ```text
//! forward         a[b, o]  = activation( biases[o] + Σ_i x[b, i] · weights[i, o] )          (B, O)
//! input gradient  d[b, i]  = ( Σ_o deltas[b, o] · weights[i, o] ) · derivative[b, i]        (B, I)
//! update          weights[i, o] −= learning_rate · Σ_b x[b, i] · deltas[b, o]               (I, O)
//!                 biases[o]     −= learning_rate · Σ_b deltas[b, o]                         (O)
//! ```
//!
//! Each Σ is one chain of fused multiply-adds in ascending order; gradients exist in registers only and are updated
//! into the parameters by one more fused multiply-add.

use std::mem::MaybeUninit;

use super::activation::{Activation, Derivative, Function, with_activation};
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut};
use super::tile::{Left, Right, Tile, multiply};
use super::vector::{Element, Vector};

/// What the derivative at a layer's output is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Slope<'a, T> {
    /// The derivatives themselves (B, O).
    Stored(Matrix<'a, T>),
    /// The activations (B, O) and the function that made them.
    Of(Activation, Matrix<'a, T>),
}

impl<'a, T: Copy> Slope<'a, T> {
    /// The stored matrix, whichever it is.
    pub(super) fn matrix(&self) -> Matrix<'a, T> {
        let (Self::Stored(matrix) | Self::Of(_, matrix)) = *self;
        matrix
    }
}

/// Calls `$body` with the `Derivative` type `$Type` that a `Slope` means.
macro_rules! with_slope {
    ($slope:expr, $Type:ident => $body:expr) => {
        match $slope {
            $crate::kernels::dense::Slope::Stored(_) => {
                type $Type = $crate::kernels::activation::Stored;
                $body
            }
            $crate::kernels::dense::Slope::Of(activation, _) => {
                $crate::kernels::activation::with_activation!(activation, $Type => $body)
            }
        }
    };
}
pub(super) use with_slope;

/// The forward pass of one layer, which returns its activations; `derivatives` receives a′ where it is asked for.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn forward<'a, T: Element>(
    level: Level,
    activation: Activation,
    x: Matrix<'_, T>,                         // (B, I)
    (weights, biases): (Matrix<'_, T>, &[T]), // (I, O), (O)
    mut activations: MatrixMut<'a, T>,        // (B, O)
    derivatives: Option<MatrixMut<'_, T>>,    // (B, O)
) -> Matrix<'a, T> {
    assert_eq!(x.columns(), weights.rows(), "columns of x, rows of weights");
    assert_eq!(weights.columns(), biases.len(), "columns of weights, biases");
    let size = (x.rows(), weights.columns());
    assert_eq!((activations.rows(), activations.columns()), size, "size of the activations");
    if let Some(derivatives) = &derivatives {
        assert_eq!((derivatives.rows(), derivatives.columns()), size, "size of the derivatives");
    }
    let out = activations.reborrow();
    level.run(Forward { activation, x, weights, biases, activations: out, derivatives });
    activations.into_matrix()
}

struct Forward<'a, T> {
    activation: Activation,
    x: Matrix<'a, T>,
    weights: Matrix<'a, T>,
    biases: &'a [T],
    activations: MatrixMut<'a, T>,
    derivatives: Option<MatrixMut<'a, T>>,
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let size = (self.x.rows(), self.weights.columns(), self.x.columns());
        let left = Left { start: self.x.as_ptr(), row: self.x.stride(), step: 1 };
        let right = Right { start: self.weights.as_ptr(), stride: self.weights.stride() };
        let Self { activation, biases, mut activations, derivatives, .. } = self;
        let biases = biases.as_ptr();
        let (out, stride) = (activations.as_mut_ptr(), activations.stride());
        // SAFETY: `forward` has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            with_activation!(activation, F => match derivatives {
                None => multiply::<V, _>(size, left, right, &Activate::<T, F> {
                    biases, out, stride, function: std::marker::PhantomData,
                }),
                Some(mut derivatives) => {
                    let (slopes, slope_stride) = (derivatives.as_mut_ptr(), derivatives.stride());
                    multiply::<V, _>(size, left, right, &ActivateAndDerive::<T, F> {
                        activate: Activate { biases, out, stride, function: std::marker::PhantomData },
                        slopes,
                        slope_stride,
                    });
                }
            });
        }
    }
}

/// Forward tile: a bias starts the chain, the activation finishes it.
struct Activate<T, F> {
    biases: *const T,
    out: *mut T,
    stride: usize,
    function: std::marker::PhantomData<F>,
}

impl<T: Element, F: Function> Tile<T> for Activate<T, F> {
    #[inline(always)]
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, _row: usize, column: usize, n: usize) -> V {
        // SAFETY: `column..column + n` are columns of the product, and so are biases.
        unsafe { V::load_some::<WHOLE>(self.biases.add(column), n) }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize) {
        // SAFETY: the outputs lie inside the product, whose size `out` has.
        unsafe {
            let place = self.out.add(row * self.stride + column);
            F::function(chains).store_some::<WHOLE>(place, n);
        }
    }
}

/// Forward tile of the notebook tier, which keeps the derivative too.
struct ActivateAndDerive<T, F> {
    activate: Activate<T, F>,
    slopes: *mut T,
    slope_stride: usize,
}

impl<T: Element, F: Function> Tile<T> for ActivateAndDerive<T, F> {
    #[inline(always)]
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, row: usize, column: usize, n: usize) -> V {
        // SAFETY: the same contract.
        unsafe { self.activate.start::<V, WHOLE>(row, column, n) }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize) {
        // SAFETY: the outputs lie inside the product, whose size `out` and `slopes` have.
        unsafe {
            let activations = F::function(chains);
            let place = self.activate.out.add(row * self.activate.stride + column);
            activations.store_some::<WHOLE>(place, n);
            let place = self.slopes.add(row * self.slope_stride + column);
            F::derivative(activations).store_some::<WHOLE>(place, n);
        }
    }
}

/// The deltas of the layer before: this layer's `deltas` back through its `weights`, times the derivative there.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn input_gradient<T: Element>(
    level: Level,
    deltas: Matrix<'_, T>,  // (B, O)
    weights: Matrix<'_, T>, // (I, O)
    slope: Slope<'_, T>,    // (B, I)
    out: MatrixMut<'_, T>,  // (B, I)
) {
    assert_eq!(deltas.columns(), weights.columns(), "columns of deltas, of weights");
    let size = (deltas.rows(), weights.rows());
    assert_eq!((slope.matrix().rows(), slope.matrix().columns()), size, "size of the derivatives");
    assert_eq!((out.rows(), out.columns()), size, "size of the result");
    if deltas.rows() == 0 {
        return;
    }
    level.run(InputGradient { deltas, weights, slope, out });
}

struct InputGradient<'a, T> {
    deltas: Matrix<'a, T>,
    weights: Matrix<'a, T>,
    slope: Slope<'a, T>,
    out: MatrixMut<'a, T>,
}

/// The lanes of this product run along the *inputs*, along which the weights are not contiguous: a panel of them is
/// transposed onto the stack, so many outputs (`DEPTH`) at a time that it stays in the L1 cache (16 KiB at avx2). Between
/// blocks of depth the chains rest in the result, unrounded as they are.
const DEPTH: usize = 256;
/// The widest panel is two registers of 64 bytes.
const PANEL_BYTES: usize = DEPTH * 128;

impl<T: Element> Kernel<T> for InputGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { deltas, weights, slope, mut out } = self;
        let (rows, depth) = (deltas.rows(), deltas.columns());
        let stored = slope.matrix();
        let mut panel = Panel([MaybeUninit::<u8>::uninit(); PANEL_BYTES]);
        let panel: *mut T = panel.0.as_mut_ptr().cast();
        let mut column = 0;
        while column < weights.rows() {
            let columns = (2 * V::LANES).min(weights.rows() - column);
            let width = columns.next_multiple_of(V::LANES);
            let mut done = 0;
            // A depth of zero still has its sums, which are zero.
            loop {
                let step = DEPTH.min(depth - done);
                // SAFETY: the entry has checked that all sizes agree; `column..column + columns` are rows of the
                // weights and columns of `out` and of the derivatives; `done..done + step` are columns of the deltas
                // and of the weights. The panel holds DEPTH rows of two registers of at most 64 bytes.
                unsafe {
                    let block = weights.as_ptr().add(column * weights.stride() + done);
                    transpose_panel::<V>(block, weights.stride(), (columns, step), panel, width);
                    let left = Left { start: deltas.as_ptr().add(done), row: deltas.stride(), step: 1 };
                    let right = Right { start: panel.cast_const(), stride: width };
                    let size = (rows, columns, step);
                    let rest = Rest { first: done == 0, out: out.as_mut_ptr().add(column), stride: out.stride() };
                    if done + step < depth {
                        multiply::<V, _>(size, left, right, &rest);
                    } else {
                        let stored_start = stored.as_ptr().add(column);
                        with_slope!(slope, D => multiply::<V, _>(size, left, right, &Derive::<T, D> {
                            rest,
                            stored: stored_start,
                            stored_stride: stored.stride(),
                            derivative: std::marker::PhantomData,
                        }));
                    }
                }
                done += step;
                if done == depth {
                    break;
                }
            }
            column += columns;
        }
    }
}

/// Stack space for a panel, aligned to a cache line.
#[repr(align(64))]
struct Panel([MaybeUninit<u8>; PANEL_BYTES]);

/// Transposes `rows` × `columns` numbers into rows of `width`, of which those beyond `rows` become zero.
///
/// # Safety
///
/// `from` is readable for the block at its stride, `to` writable for `columns` rows of `width` (one or two registers of `V`),
/// and the CPU has the instructions of `V`.
#[inline(always)]
unsafe fn transpose_panel<V: Vector>(
    from: *const V::Element,
    stride: usize,
    (rows, columns): (usize, usize),
    to: *mut V::Element,
    width: usize,
) {
    let lanes = V::LANES;
    // SAFETY: whole blocks are used only where `rows` and `columns` have them; the rest goes number by number.
    unsafe {
        for row in (0..width).step_by(lanes) {
            let mut column = 0;
            while row + lanes <= rows && column + lanes <= columns {
                let place = to.add(column * width + row);
                V::transpose(from.add(row * stride + column), stride, place, width);
                column += lanes;
            }
            while column < columns {
                for i in row..row + lanes {
                    let number = if i < rows { *from.add(i * stride + column) } else { V::Element::ZERO };
                    to.add(column * width + i).write(number);
                }
                column += 1;
            }
        }
    }
}

/// Chains that rest in the result between two blocks of depth.
struct Rest<T> {
    first: bool,
    out: *mut T,
    stride: usize,
}

impl<T: Element> Tile<T> for Rest<T> {
    #[inline(always)]
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, row: usize, column: usize, n: usize) -> V {
        // SAFETY: the outputs lie inside the product, whose size `out` has.
        unsafe {
            if self.first {
                V::splat(T::ZERO)
            } else {
                V::load_some::<WHOLE>(self.out.add(row * self.stride + column), n)
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize) {
        // SAFETY: the outputs lie inside the product, whose size `out` has.
        unsafe { chains.store_some::<WHOLE>(self.out.add(row * self.stride + column), n) };
    }
}

/// Input-gradient tile: the chain goes on from where it rested; the derivative finishes it.
struct Derive<T, D> {
    rest: Rest<T>,
    stored: *const T,
    stored_stride: usize,
    derivative: std::marker::PhantomData<D>,
}

impl<T: Element, D: Derivative> Tile<T> for Derive<T, D> {
    #[inline(always)]
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, row: usize, column: usize, n: usize) -> V {
        // SAFETY: the same contract.
        unsafe { self.rest.start::<V, WHOLE>(row, column, n) }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize) {
        // SAFETY: the outputs lie inside the product, whose size `out` and the derivatives have.
        unsafe {
            let stored = self.stored.add(row * self.stored_stride + column);
            let slope = D::derivative(V::load_some::<WHOLE>(stored, n));
            let deltas = chains.mul(slope).flush_subnormal();
            deltas.store_some::<WHOLE>(self.rest.out.add(row * self.rest.stride + column), n);
        }
    }
}

/// One step of gradient descent on a layer's parameters.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn update<T: Element>(
    level: Level,
    learning_rate: T,
    x: Matrix<'_, T>,                                // (B, I)
    deltas: Matrix<'_, T>,                           // (B, O)
    (weights, biases): (MatrixMut<'_, T>, &mut [T]), // (I, O), (O)
) {
    assert_eq!(x.rows(), deltas.rows(), "rows of x, of deltas");
    let size = (x.columns(), deltas.columns());
    assert_eq!((weights.rows(), weights.columns()), size, "size of the weights");
    assert_eq!(deltas.columns(), biases.len(), "columns of deltas, biases");
    level.run(Update { learning_rate, x, deltas, weights, biases });
}

struct Update<'a, T> {
    learning_rate: T,
    x: Matrix<'a, T>,
    deltas: Matrix<'a, T>,
    weights: MatrixMut<'a, T>,
    biases: &'a mut [T],
}

impl<T: Element> Kernel<T> for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { learning_rate, x, deltas, mut weights, biases } = self;
        let size = (x.columns(), deltas.columns(), x.rows());
        let left = Left { start: x.as_ptr(), row: 1, step: x.stride() };
        let right = Right { start: deltas.as_ptr(), stride: deltas.stride() };
        // SAFETY: the entry has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            let tile = Descend { learning_rate, parameters: weights.as_mut_ptr(), stride: weights.stride() };
            multiply::<V, _>(size, left, right, &tile);
            // The bias gradient is the product with a column of ones: one row, each step with the same factor.
            let one = T::ONE;
            let ones = Left { start: &raw const one, row: 0, step: 0 };
            let tile = Descend { parameters: biases.as_mut_ptr(), stride: 0, ..tile };
            multiply::<V, _>((1, size.1, size.2), ones, right, &tile);
        }
    }
}

/// Update tile: the chain is the gradient, and the step is taken where it is.
struct Descend<T> {
    learning_rate: T,
    parameters: *mut T,
    stride: usize,
}

impl<T: Element> Tile<T> for Descend<T> {
    #[inline(always)]
    unsafe fn start<V: Vector<Element = T>, const WHOLE: bool>(&self, _row: usize, _column: usize, _n: usize) -> V {
        // SAFETY: the caller runs on a CPU of V's level.
        unsafe { V::splat(T::ZERO) }
    }

    #[inline(always)]
    unsafe fn finish<V: Vector<Element = T>, const WHOLE: bool>(&self, chains: V, row: usize, column: usize, n: usize) {
        // SAFETY: the outputs lie inside the product, whose size the parameters have.
        unsafe {
            let gradient = chains.flush_subnormal();
            let place = self.parameters.add(row * self.stride + column);
            let parameters = V::load_some::<WHOLE>(place, n);
            gradient.neg_mul_add(V::splat(self.learning_rate), parameters).store_some::<WHOLE>(place, n);
        }
    }
}
