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

use std::marker::PhantomData;

use super::activation::{Activation, Derivative, Function, with_activation};
use super::level::{Kernel, Level};
use super::matrix::{Matrix, MatrixMut};
use super::micro_kernel::Left;
use super::product::{self, Finish, Kind, Operand, Product, Rows, multiply};
use super::vector::{Arithmetic, Element, Vector};

/// What the derivative at a layer's output is taken from.
#[derive(Clone, Copy, Debug)]
pub enum Slope<'a, T> {
    /// The derivatives themselves (B, O).
    Stored(Matrix<'a, T>),
    /// The activations (B, O) and the function that made them.
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
    workspace: &mut [T],
) -> Matrix<'a, T> {
    assert_eq!(x.columns(), weights.rows(), "columns of x, rows of weights");
    assert_eq!(weights.columns(), biases.len(), "columns of weights, biases");
    let size = (x.rows(), weights.columns());
    assert_eq!((activations.rows(), activations.columns()), size, "size of the activations");
    if let Some(derivatives) = &derivatives {
        assert_eq!((derivatives.rows(), derivatives.columns()), size, "size of the derivatives");
    }
    let out = activations.reborrow();
    level.run(Forward { activation, x, weights, biases, activations: out, derivatives, workspace });
    activations.into_matrix()
}

struct Forward<'a, T> {
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
        let Self { activation, x, weights, biases, mut activations, derivatives, workspace } = self;
        let out = Rows { start: activations.as_mut_ptr(), stride: activations.stride() };
        let product = Product {
            rows: x.rows(),
            columns: weights.columns(),
            depth: x.columns(),
            left: Left { start: x.as_ptr(), row: x.stride(), step: 1 },
            right: Operand::Rows(Rows { start: weights.as_ptr(), stride: weights.stride() }),
            start: Some(Rows { start: biases.as_ptr(), stride: 0 }),
            rest: Some(out),
        };
        // SAFETY: `forward` has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            with_activation!(activation, F => match derivatives {
                None => multiply::<V, _>(&product, &Activate::<T, F> { out, function: PhantomData }, workspace),
                Some(mut derivatives) => {
                    let slopes = Rows { start: derivatives.as_mut_ptr(), stride: derivatives.stride() };
                    let finish = ActivateAndDerive { activate: Activate::<T, F> { out, function: PhantomData }, slopes };
                    multiply::<V, _>(&product, &finish, workspace);
                }
            });
        }
    }
}

/// The activation finishes a chain.
struct Activate<T, F> {
    out: Rows<*mut T>,
    function: PhantomData<F>,
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
            let activations = F::function(chains);
            activations.store_some::<WHOLE>(self.activate.out.at(row, column), n);
            F::derivative(activations).store_some::<WHOLE>(self.slopes.at(row, column), n);
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
        let out = Rows { start: out.as_mut_ptr(), stride: out.stride() };
        let stored = Rows { start: slope.matrix().as_ptr(), stride: slope.matrix().stride() };
        let product = Product {
            rows: deltas.rows(),
            columns: weights.rows(),
            depth: weights.columns(),
            left: Left { start: deltas.as_ptr(), row: deltas.stride(), step: 1 },
            // The lanes of this product run along the inputs, along which the weights are not contiguous.
            right: Operand::Columns { start: weights.as_ptr(), stride: weights.stride() },
            start: None,
            rest: Some(out),
        };
        // SAFETY: the entry has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe {
            with_slope!(slope, D => {
                multiply::<V, _>(&product, &Derive::<T, D> { out, stored, derivative: PhantomData }, workspace);
            });
        }
    }
}

/// The derivative finishes a chain.
struct Derive<T, D> {
    out: Rows<*mut T>,
    stored: Rows<*const T>,
    derivative: PhantomData<D>,
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
}

/// One step of gradient descent on a layer's parameters, or on some rows of its weights with as many columns of `x`, and on
/// its biases or not.
///
/// # Panics
///
/// If the sizes do not fit.
pub fn update<T: Element>(
    level: Level,
    learning_rate: T,
    x: Matrix<'_, T>,                                        // (B, I)
    deltas: Matrix<'_, T>,                                   // (B, O)
    (weights, biases): (MatrixMut<'_, T>, Option<&mut [T]>), // (I, O), (O)
    workspace: &mut [T],
) {
    assert_eq!(x.rows(), deltas.rows(), "rows of x, of deltas");
    let size = (x.columns(), deltas.columns());
    assert_eq!((weights.rows(), weights.columns()), size, "size of the weights");
    assert!(biases.as_ref().is_none_or(|biases| biases.len() == deltas.columns()), "columns of deltas, biases");
    level.run(Update { learning_rate, x, deltas, weights, biases, workspace });
}

struct Update<'a, T> {
    learning_rate: T,
    x: Matrix<'a, T>,
    deltas: Matrix<'a, T>,
    weights: MatrixMut<'a, T>,
    biases: Option<&'a mut [T]>,
    workspace: &'a mut [T],
}

impl<T: Element> Kernel<T> for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) {
        let Self { learning_rate, x, deltas, mut weights, biases, workspace } = self;
        let parameters = Rows { start: weights.as_mut_ptr(), stride: weights.stride() };
        let product = Product {
            rows: x.columns(),
            columns: deltas.columns(),
            depth: x.rows(),
            left: Left { start: x.as_ptr(), row: 1, step: x.stride() },
            right: Operand::Rows(Rows { start: deltas.as_ptr(), stride: deltas.stride() }),
            start: None,
            rest: None,
        };
        // SAFETY: the entry has checked that all sizes agree, `Matrix` that its slice holds them.
        unsafe { multiply::<V, _>(&product, &Descend { learning_rate, parameters }, workspace) };
        let Some(biases) = biases else { return };
        // The bias gradient is the product with a column of ones: one row, each step with the same factor.
        let one = T::ONE;
        let product = Product { rows: 1, left: Left { start: &raw const one, row: 0, step: 0 }, ..product };
        let parameters = Rows { start: biases.as_mut_ptr(), stride: 0 };
        // SAFETY: the same.
        unsafe { multiply::<V, _>(&product, &Descend { learning_rate, parameters }, workspace) };
    }
}

/// A chain is a gradient, and the step is taken where it is.
struct Descend<T> {
    learning_rate: T,
    parameters: Rows<*mut T>,
}

impl<T: Element> Finish<T> for Descend<T> {
    #[inline(always)]
    unsafe fn finish<V: Arithmetic<Element = T>, const WHOLE: bool>(
        &self,
        chains: V,
        row: usize,
        column: usize,
        n: usize,
    ) {
        // SAFETY: the outputs lie inside the product, whose size the parameters have.
        unsafe {
            let gradient = chains.flush_subnormal();
            let place = self.parameters.at(row, column);
            let parameters = V::load_some::<WHOLE>(place, n);
            gradient.neg_mul_add(V::splat(self.learning_rate), parameters).store_some::<WHOLE>(place, n);
        }
    }
}

/// Numbers of workspace that the forward pass of a layer takes for `n_samples`.
#[must_use]
pub fn forward_workspace<T: Element>(level: Level, n_samples: usize, (n_inputs, n_outputs): (usize, usize)) -> usize {
    level.run(Workspaces { products: [(Kind::Forward, (n_samples, n_outputs, n_inputs))], number: PhantomData::<T> })
}

/// Numbers of workspace that the input gradient of a layer takes for `n_samples`.
#[must_use]
pub fn input_gradient_workspace<T: Element>(
    level: Level,
    n_samples: usize,
    (n_inputs, n_outputs): (usize, usize),
) -> usize {
    level.run(Workspaces {
        products: [(Kind::InputGradient, (n_samples, n_inputs, n_outputs))],
        number: PhantomData::<T>,
    })
}

/// Numbers of workspace that the update of a layer takes for `n_samples`.
#[must_use]
pub fn update_workspace<T: Element>(level: Level, n_samples: usize, (n_inputs, n_outputs): (usize, usize)) -> usize {
    let (weights, biases) = ((n_inputs, n_outputs, n_samples), (1, n_outputs, n_samples));
    level.run(Workspaces { products: [weights, biases].map(|size| (Kind::Update, size)), number: PhantomData::<T> })
}

/// The largest workspace of some products.
struct Workspaces<T, const N: usize> {
    products: [(Kind, (usize, usize, usize)); N],
    number: PhantomData<T>,
}

impl<T: Element, const N: usize> Kernel<T> for Workspaces<T, N> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<V: Vector<Element = T>>(self) -> usize {
        self.products.into_iter().fold(0, |most, (kind, size)| most.max(product::workspace::<V>(kind, size)))
    }
}
