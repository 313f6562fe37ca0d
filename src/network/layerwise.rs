//! The products of a layer on several threads, each a round of its own: shares of the outputs for each thread, and of what
//! they are written to.
//!
//! This is how the notebook's pair runs, on the caller's arrays. A training plans its rounds once (`training/plan.rs`).

use std::iter::once;
use std::ops::Range;

use crate::kernels::update::{self, Parameters, update_workspace};
use crate::kernels::{Activation, Buffer, Descent, Element, LINE, Level, Matrix, MatrixMut, Slope, dense};
use crate::parallel::{self, Partition};

/// What the products of some layers need beside their operands.
#[derive(Debug)]
pub struct Layerwise<T> {
    level: Level,
    threads: usize,
    workspaces: Buffer<T>,
    /// Numbers of workspace of a thread.
    workspace: usize,
}

impl<T: Element> Layerwise<T> {
    /// For products whose workspaces have at most so many numbers.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn new(level: Level, threads: usize, workspaces: impl Iterator<Item = usize>) -> Result<Self, crate::Error> {
        let workspace = workspaces.max().unwrap_or(0).next_multiple_of(LINE / size_of::<T>());
        Ok(Self { level, threads, workspaces: Buffer::new(threads * workspace)?, workspace })
    }

    /// Numbers of workspace that a thread takes for its share of a layer's input gradient and update, with weights without gaps.
    #[must_use]
    pub fn backward_workspace(level: Level, threads: usize, n_samples: usize, widths: (usize, usize)) -> usize {
        let (n_samples_each, n_inputs_each) = (n_samples.div_ceil(threads), widths.0.div_ceil(threads));
        let input_gradient = dense::input_gradient_workspace::<T>(level, n_samples_each, widths, widths.1);
        input_gradient.max(update_workspace::<T>(level, n_samples, (n_inputs_each, widths.1)))
    }

    /// See `dense::forward`; returns the activations.
    ///
    /// # Panics
    ///
    /// If the sizes do not fit.
    pub fn forward<'a>(
        &mut self,
        activation: Activation,
        x: Matrix<'_, T>,                  // (B, I)
        parameters: (Matrix<'_, T>, &[T]), // (I, O), (O)
        mut activations: MatrixMut<'a, T>, // (B, O)
        derivatives: MatrixMut<'_, T>,     // (B, O)
    ) -> Matrix<'a, T> {
        let level = self.level;
        if self.threads == 1 {
            let workspace = self.workspaces.as_mut_slice();
            let out = activations.reborrow();
            dense::forward(level, activation, x, parameters, out, Some(derivatives), workspace);
            return activations.into_matrix();
        }
        let (columns, stride) = (activations.columns(), activations.stride());
        assert_eq!(activations.rows(), x.rows(), "rows of the activations");
        assert_eq!((derivatives.rows(), derivatives.columns()), (x.rows(), columns), "size of the derivatives");
        let (data, slope_stride) = (activations.into_data(), derivatives.stride());
        let slopes = (derivatives.into_data(), (slope_stride, columns));
        self.shares(x.rows(), (&mut *data, (stride, columns)), slopes, |rows, out, slopes, workspace| {
            let out = MatrixMut::new(out, rows.len(), columns, stride);
            let slopes = MatrixMut::new(slopes, rows.len(), columns, slope_stride);
            let x = x.window(rows.start, rows.len());
            dense::forward(level, activation, x, parameters, out, Some(slopes), workspace);
        });
        Matrix::new(data, x.rows(), columns, stride)
    }

    /// See `dense::input_gradient`.
    ///
    /// # Panics
    ///
    /// If the sizes do not fit.
    pub fn input_gradient(
        &mut self,
        deltas: Matrix<'_, T>,  // (B, O)
        weights: Matrix<'_, T>, // (I, O)
        slope: Slope<'_, T>,    // (B, I)
        out: MatrixMut<'_, T>,  // (B, I)
    ) {
        let level = self.level;
        if self.threads == 1 {
            return dense::input_gradient(level, deltas, weights, slope, out, self.workspaces.as_mut_slice());
        }
        let (columns, stride) = (out.columns(), out.stride());
        assert_eq!(out.rows(), deltas.rows(), "rows of the result");
        let work = |rows: Range<usize>, out: &mut [T], _: &mut [T], workspace: &mut [T]| {
            let out = MatrixMut::new(out, rows.len(), columns, stride);
            let (deltas, slope) = (deltas.window(rows.start, rows.len()), slope.window(rows.start, rows.len()));
            dense::input_gradient(level, deltas, weights, slope, out, workspace);
        };
        self.shares(deltas.rows(), (out.into_data(), (stride, columns)), (&mut [], (0, 0)), work);
    }

    /// See `update::update`: one step of plain gradient descent.
    ///
    /// # Panics
    ///
    /// If the sizes do not fit.
    pub fn update(
        &mut self,
        learning_rate: T,
        x: Matrix<'_, T>,                                // (B, I)
        deltas: Matrix<'_, T>,                           // (B, O)
        (weights, biases): (MatrixMut<'_, T>, &mut [T]), // (I, O), (O)
    ) {
        let (level, descent) = (self.level, Descent::plain(learning_rate));
        let update = |x: Matrix<'_, T>, parameters: Parameters<'_, T>, workspace: &mut [T]| {
            update::update(level, &descent, x, deltas, parameters, [None, None], workspace);
        };
        let workspace = self.workspaces.as_mut_slice();
        if self.threads == 1 {
            return update(x, Parameters { weights, biases: Some(biases) }, workspace);
        }
        assert_eq!((weights.rows(), weights.columns()), (x.columns(), deltas.columns()), "size of the weights");
        let no_weights = MatrixMut::packed(&mut [], 0, deltas.columns());
        update(x.columns_of(0, 0), Parameters { weights: no_weights, biases: Some(biases) }, workspace);
        let (columns, stride) = (weights.columns(), weights.stride());
        let work = |rows: Range<usize>, weights: &mut [T], _: &mut [T], workspace: &mut [T]| {
            let weights = MatrixMut::new(weights, rows.len(), columns, stride);
            let x = x.columns_of(rows.start, rows.len());
            update(x, Parameters { weights, biases: None }, workspace);
        };
        self.shares(x.columns(), (weights.into_data(), (stride, columns)), (&mut [], (0, 0)), work);
    }

    /// A round in which each thread works on its share of `rows`, with their parts of two slices of rows, each with its
    /// stride and width, and a workspace.
    fn shares(
        &mut self,
        rows: usize,
        (first, first_row): (&mut [T], (usize, usize)),
        (second, second_row): (&mut [T], (usize, usize)),
        work: impl Fn(Range<usize>, &mut [T], &mut [T], &mut [T]) + Sync,
    ) {
        let share = rows.div_ceil(self.threads).max(1);
        let shares: Vec<_> = (0..rows).step_by(share).map(|start| start..rows.min(start + share)).collect();
        let partition = |(stride, width): (usize, usize)| {
            Partition::new(shares.iter().map(|rows| once(rows.start * stride..(rows.end - 1) * stride + width)))
        };
        let (mut of_first, mut of_second) = (partition(first_row), partition(second_row));
        let (first, second) = (of_first.split(first), of_second.split(second));
        let of_thread = |thread| once(thread * self.workspace..(thread + 1) * self.workspace);
        let mut of_workspaces = Partition::new((0..self.threads).map(of_thread));
        let workspaces = of_workspaces.split(self.workspaces.as_mut_slice());
        parallel::run(self.threads, shares.len(), |thread, jobs| {
            let mut workspace = workspaces.take(thread);
            for job in jobs {
                let (mut first, mut second) = (first.take(job), second.take(job));
                work(shares[job].clone(), first.get_mut(0), second.get_mut(0), workspace.get_mut(0));
            }
        });
    }
}
