//! The dense layer's passes, forward beside backward: safe entries that check sizes, then run at a level.
//!
//! ```text
//! forward         a[b, o]  = activation( biases[o] + Σ_i x[b, i] · weights[i, o] )          (B, O)
//! input gradient  d[b, i]  = ( Σ_o deltas[b, o] · weights[i, o] ) · derivative[b, i]        (B, I)
//! ```
//!
//! Each Σ is one chain of fused multiply-adds in ascending order. The third product is in `update.rs`.

use std::marker::PhantomData;

use super::across::{self, multiply_across};
use super::activation::{Activation, Derivative, Function, with_activation};
use super::blocks::Kind;
use super::finish::Finish;
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut, Rows};
use super::micro_kernel::Left;
use super::product::{self, Operand, Product, multiply, multiply_at};
use super::vector::{Arithmetic, Element, Vector};

/// What the derivative at a layer's output is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Slope<'a, T> {
    /// The derivatives themselves (B, O).
    Stored(Matrix<'a, T>),
    /// What the forward pass keeps (B, O), which is the activations or, for some functions, the derivatives; and the
    /// function.
    Of(Activation, Matrix<'a, T>),
}

impl<'a, T: Copy> Slope<'a, T> {
    /// That of some consecutive samples.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[must_use]
    pub fn window(&self, start: usize, rows: usize) -> Self {
        match *self {
            Self::Stored(matrix) => Self::Stored(matrix.window(start, rows)),
            Self::Of(activation, matrix) => Self::Of(activation, matrix.window(start, rows)),
        }
    }

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

/// The forward pass of one layer; `derivatives` receives a′ where it is asked for.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn forward<T: Element>(
    level: Level,
    activation: Activation,
    x: Matrix<'_, T>,                         // (B, I)
    (weights, biases): (Matrix<'_, T>, &[T]), // (I, O), (O)
    activations: MatrixMut<'_, T>,            // (B, O)
    derivatives: Option<MatrixMut<'_, T>>,    // (B, O)
    workspace: &mut [T],
) {
    assert_eq!(x.columns(), weights.rows(), "columns of x, rows of weights");
    assert_eq!(weights.columns(), biases.len(), "columns of weights, biases");
    let size = (x.rows(), weights.columns());
    assert_eq!((activations.rows(), activations.columns()), size, "size of the activations");
    if let Some(derivatives) = &derivatives {
        assert_eq!((derivatives.rows(), derivatives.columns()), size, "size of the derivatives");
    }
    level.run(Forward { level, activation, x, weights, biases, activations, derivatives, workspace });
}

struct Forward<'a, T> {
    level: Level,
    activation: Activation,
    x: Matrix<'a, T>,
    weights: Matrix<'a, T>,
    biases: &'a [T],
    activations: MatrixMut<'a, T>,
    derivatives: Option<MatrixMut<'a, T>>,
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { level, activation, x, weights, biases, mut activations, derivatives, workspace } = self;
        let out = activations.pointer();
        let product = Product {
            rows: x.rows(),
            columns: weights.columns(),
            depth: x.columns(),
            left: Left { start: x.pointer().start, row: x.stride(), step: 1 },
            right: Operand::Rows(weights.pointer()),
            start: Some(Rows { start: biases.as_ptr(), stride: 0 }),
            rest: Some(out),
            beside: None,
        };
        // SAFETY: `forward` has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            with_activation!(activation, F => match derivatives {
                None => multiply_at::<V, _>(level, &product, &Activate::<T, F> { out, function: PhantomData }, workspace),
                Some(mut derivatives) => {
                    let slopes = derivatives.pointer();
                    let finish = ActivateAndDerive { activate: Activate::<T, F> { out, function: PhantomData }, slopes };
                    multiply::<V, _>(&product, &finish, workspace);
                }
            });
        }
    }
}

/// The activation finishes a chain.
pub(super) struct Activate<T, F> {
    pub(super) out: Rows<*mut T>,
    pub(super) function: PhantomData<F>,
}

impl<T: Element, F: Function> Finish<T> for Activate<T, F> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        // SAFETY: the outputs lie inside the product, whose size `out` has.
        unsafe { F::function(chains).store_some::<WHOLE>(self.out.at(row, column), n) };
    }

    fn stride(&self) -> Option<usize> {
        Some(self.out.stride)
    }
}

/// In the notebook tier, which keeps the derivative too.
struct ActivateAndDerive<T, F> {
    activate: Activate<T, F>,
    slopes: Rows<*mut T>,
}

impl<T: Element, F: Function> Finish<T> for ActivateAndDerive<T, F> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        // SAFETY: the outputs lie inside the product, whose size `out` and `slopes` have.
        unsafe {
            let (activations, derivatives) = F::function_and_derivative(chains);
            activations.store_some::<WHOLE>(self.activate.out.at(row, column), n);
            derivatives.store_some::<WHOLE>(self.slopes.at(row, column), n);
        }
    }

    fn stride(&self) -> Option<usize> {
        self.activate.stride().filter(|stride| *stride == self.slopes.stride)
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
    workspace: &mut [T],
) {
    assert_eq!(deltas.columns(), weights.columns(), "columns of deltas, of weights");
    let size = (deltas.rows(), weights.rows());
    assert_eq!((slope.matrix().rows(), slope.matrix().columns()), size, "size of the derivatives");
    assert_eq!((out.rows(), out.columns()), size, "size of the result");
    level.run(InputGradient { deltas, weights, slope, out, workspace });
}

struct InputGradient<'a, T> {
    deltas: Matrix<'a, T>,
    weights: Matrix<'a, T>,
    slope: Slope<'a, T>,
    out: MatrixMut<'a, T>,
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for InputGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { deltas, weights, slope, mut out, workspace } = self;
        let (n_samples, widths) = (deltas.rows(), (weights.rows(), weights.columns()));
        let is_across = across::pays::<V>(n_samples, widths, weights.stride());
        let (deltas, weights) = (deltas.pointer(), weights.pointer());
        let (out, stored) = (out.pointer(), slope.matrix().pointer());
        let by_rows = |rows: Rows<*const T>| Left { start: rows.start, row: rows.stride, step: 1 };
        // The lanes run along the inputs, along which the weights are not contiguous, or along the samples.
        let along = Product {
            rows: n_samples,
            columns: widths.0,
            depth: widths.1,
            left: by_rows(deltas),
            right: Operand::Columns(weights),
            start: None,
            rest: Some(out),
            beside: Some(stored),
        };
        // SAFETY: the entry has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            with_slope!(slope, D => {
                let finish = &Derive::<T, D> { out, stored, derivative: PhantomData };
                if is_across {
                    let (left, right) = (by_rows(weights), Operand::Columns(deltas));
                    let product =
                        Product { rows: widths.0, columns: n_samples, left, right, rest: None, beside: None, ..along };
                    multiply_across::<V, _>(&product, finish, out, workspace);
                } else {
                    multiply::<V, _>(&along, finish, workspace);
                }
            });
        }
    }
}

/// The derivative finishes a chain.
pub(super) struct Derive<T, D> {
    pub(super) out: Rows<*mut T>,
    pub(super) stored: Rows<*const T>,
    pub(super) derivative: PhantomData<D>,
}

impl<T: Element, D: Derivative> Finish<T> for Derive<T, D> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        // SAFETY: the outputs lie inside the product, whose size `out` and the derivatives have.
        unsafe {
            let slope = D::derivative(V::load_some::<WHOLE>(self.stored.at(row, column), n));
            chains.mul(slope).flush_subnormal().store_some::<WHOLE>(self.out.at(row, column), n);
        }
    }

    fn stride(&self) -> Option<usize> {
        (self.stored.stride == self.out.stride).then_some(self.out.stride)
    }
}

/// Numbers of workspace that the forward pass of a layer takes for `n_samples`.
#[must_use]
pub fn forward_workspace<T: Element>(level: Level, n_samples: usize, (n_inputs, n_outputs): (usize, usize)) -> usize {
    level.run(Workspaces { products: [(Kind::Forward, (n_samples, n_outputs, n_inputs))], number: PhantomData::<T> })
}

/// Numbers of workspace that the input gradient of a layer takes for `n_samples`, or fewer, whose weights have rows `stride` numbers
/// apart.
#[must_use]
pub fn input_gradient_workspace<T: Element>(
    level: Level,
    n_samples: usize,
    (n_inputs, n_outputs): (usize, usize),
    stride: usize,
) -> usize {
    let n_across = n_samples.min(across::most_samples::<T>((n_inputs, n_outputs), stride));
    level.run(Workspaces {
        products: [
            (Kind::InputGradient, (n_samples, n_inputs, n_outputs)),
            (Kind::InputGradientAcross, (n_inputs, n_across, n_outputs)),
        ],
        number: PhantomData::<T>,
    })
}

/// The largest workspace of some products.
pub(super) struct Workspaces<T, const N: usize> {
    pub products: [(Kind, (usize, usize, usize)); N],
    pub number: PhantomData<T>,
}

impl<T: Element, const N: usize> Kernel<T> for Workspaces<T, N> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        self.products.into_iter().fold(0, |most, (kind, size)| most.max(product::workspace::<V>(kind, size)))
    }
}
