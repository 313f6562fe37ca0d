//! The gradients of a `Plan`, after a pass that has gone back.

use std::ops::Range;

use super::{Passed, Plan, Start};
use crate::kernels::{Element, Matrix, MatrixMut};
use crate::network::Network;
use crate::parallel;
use crate::training::batches::Batch;
use crate::training::rounds::Update;

impl<T: Element> Plan<T> {
    /// The gradients of all parameters after `pass`, with its batch, or after `backward`, laid out as the parameters.
    ///
    /// # Panics
    ///
    /// If it does not follow one of these, or follows a `pass` of the notebook's gradient, which goes back only in `update`; if
    /// `x` is not of that pass's size, or the length of `out` is not that of the network's buffer.
    pub fn gradients(
        &mut self,
        network: &Network<T>,
        (x, batch): (Matrix<'_, T>, Option<Batch<'_, T>>),
        out: &mut [T],
    ) {
        let Passed { aim, online, .. } = self.passed;
        if let Some(batch) = batch.filter(|_| online && self.goes_all_the_way(aim)) {
            self.back(network, Start::Loss(batch));
        }
        assert!(self.passed.back, "gradients follow a pass that has gone back");
        self.gradient_round(x, out);
    }

    pub(super) fn gradient_round(&mut self, x: Matrix<'_, T>, out: &mut [T]) {
        assert_eq!(x.rows(), self.passed.n_samples, "the last pass");
        let Self { passes, rounds, .. } = self;
        let numbers = self.numbers.as_slice();
        for Update { jobs: blocks, of_gradients, .. } in &mut rounds.updates {
            let gradients = of_gradients.split(out);
            let workspaces = rounds.of_workspaces.split(self.workspaces.as_mut_slice());
            parallel::run(rounds.threads, blocks.len(), |thread, jobs| {
                let mut workspace = workspaces.take(thread);
                for job in jobs {
                    let mut gradients = gradients.take(job);
                    for (part, block) in blocks[job].iter().enumerate() {
                        let out = gradients.matrix_mut(part);
                        passes.parameter_gradient(block, (x, numbers), out, workspace.get_mut(0));
                    }
                }
            });
        }
    }

    /// The gradient at the samples themselves (B, I), after `gradients` or `backward`.
    ///
    /// # Panics
    ///
    /// If the last pass has not gone back, or the sizes are not its own.
    pub fn sample_gradient(&mut self, network: &Network<T>, x: Matrix<'_, T>, mut out: MatrixMut<'_, T>) {
        assert_eq!((x.rows(), out.rows()), (self.passed.n_samples, x.rows()), "the last pass");
        assert!(self.passed.back, "gradients follow a pass that has gone back");
        let (columns, stride, parameters) = (out.columns(), out.stride(), network.buffer().as_slice());
        let data = out.reborrow().into_data();
        for Range { start, end } in &self.rounds.samples {
            let n = (*end).min(x.rows()).saturating_sub(*start);
            if n > 0 {
                let out = MatrixMut::new(&mut data[start * stride..], n, columns, stride);
                let (x, numbers) = (x.window(*start, n), self.numbers.as_slice());
                let workspace = &mut self.workspaces.as_mut_slice()[..];
                self.passes.sample_gradient(parameters, (x, *start), numbers, out, workspace);
            }
        }
    }
}
