//! `Batches`: the samples of each epoch in their order, batch by batch.
//!
//! Without shuffling a batch is a window of the data. With it, the order of epoch `e` is the permutation that the seed's
//! stream number `1 + e` draws (Fisher and Yates), whatever came before, so that any step can be run again; a batch is
//! then copied together.

use std::ops::Range;

use crate::error::{Error, zeros};
use crate::kernels::{Element, Matrix};
use crate::network::init::Stream;

/// The data, cut into batches.
#[derive(Debug)]
pub struct Batches<'a, T> {
    x: Matrix<'a, T>, // (n_samples, I)
    y: Matrix<'a, T>, // (n_samples, O)
    batch_size: usize,
    shuffled: Option<Shuffled<T>>,
}

#[derive(Debug)]
struct Shuffled<T> {
    seed: u64,
    epoch: Option<usize>,
    order: Vec<usize>,
    x: Vec<T>,
    y: Vec<T>,
}

impl<'a, T: Element> Batches<'a, T> {
    /// Batches of `batch_size` samples, the last one of an epoch perhaps smaller; shuffled where there is a seed.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    ///
    /// # Panics
    ///
    /// If `x` and `y` differ in their rows, or the batch size is not from 1 to that number.
    pub fn new(x: Matrix<'a, T>, y: Matrix<'a, T>, batch_size: usize, seed: Option<u64>) -> Result<Self, Error> {
        assert_eq!(x.rows(), y.rows(), "rows of x, of y");
        assert!(0 < batch_size && batch_size <= x.rows(), "batch_size {batch_size} of {}", x.rows());
        let shuffled = match seed {
            None => None,
            Some(seed) => Some(Shuffled {
                seed,
                epoch: None,
                order: zeros(x.rows())?,
                x: zeros(batch_size * x.columns())?,
                y: zeros(batch_size * y.columns())?,
            }),
        };
        Ok(Self { x, y, batch_size, shuffled })
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> usize {
        self.x.rows().div_ceil(self.batch_size)
    }

    /// Samples in a whole batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The samples and targets of one batch of an epoch.
    pub fn get(&mut self, epoch: usize, batch: usize) -> (Matrix<'_, T>, Matrix<'_, T>) {
        let start = batch * self.batch_size;
        let rows = start..self.x.rows().min(start + self.batch_size);
        match &mut self.shuffled {
            None => (self.x.window(start, rows.len()), self.y.window(start, rows.len())),
            Some(shuffled) => {
                shuffled.gather(epoch, rows.clone(), self.x, self.y);
                (
                    Matrix::packed(&shuffled.x, rows.len(), self.x.columns()),
                    Matrix::packed(&shuffled.y, rows.len(), self.y.columns()),
                )
            }
        }
    }
}

impl<T: Element> Shuffled<T> {
    fn gather(&mut self, epoch: usize, rows: Range<usize>, x: Matrix<'_, T>, y: Matrix<'_, T>) {
        if self.epoch != Some(epoch) {
            self.draw_order(epoch);
        }
        gather(x, &self.order[rows.clone()], &mut self.x);
        gather(y, &self.order[rows], &mut self.y);
    }

    fn draw_order(&mut self, epoch: usize) {
        let mut stream = Stream::new(self.seed, 1 + epoch as u64);
        for (i, place) in self.order.iter_mut().enumerate() {
            *place = i;
        }
        for last in (1..self.order.len()).rev() {
            self.order.swap(last, stream.below(last + 1));
        }
        self.epoch = Some(epoch);
    }
}

/// Copies the rows named by `order` one after the other.
fn gather<T: Copy>(matrix: Matrix<'_, T>, order: &[usize], out: &mut [T]) {
    for (&row, out) in order.iter().zip(out.chunks_exact_mut(matrix.columns())) {
        out.copy_from_slice(matrix.row(row));
    }
}
