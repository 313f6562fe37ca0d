//! `Batches`: the samples of each epoch in their order, batch by batch.
//!
//! Without shuffling a batch is a window of the data. With it, the order of epoch `e` is the permutation that the seed's
//! stream number `1 + e` draws (Fisher and Yates), whatever came before, so that any step can be run again; a batch is
//! then copied together.

use std::ops::Range;

use crate::error::Error;
use crate::kernels::{Element, Matrix, zeros};
use crate::network::init::Stream;

/// Samples with their targets, and what each of them weighs.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    /// The samples (B, I).
    pub x: Matrix<'a, T>,
    /// The targets (B, O).
    pub y: Matrix<'a, T>,
    /// The factors of the samples' errors (B); none for ones.
    pub weights: Option<&'a [T]>,
}

impl<T: Copy> Batch<'_, T> {
    /// Some consecutive samples.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[must_use]
    pub fn window(&self, start: usize, n_samples: usize) -> Self {
        Self {
            x: self.x.window(start, n_samples),
            y: self.y.window(start, n_samples),
            weights: self.weights.map(|weights| &weights[start..start + n_samples]),
        }
    }
}

/// Numbers of their own, in rows.
#[derive(Debug)]
struct Rows<T> {
    numbers: Vec<T>,
    count: usize,
    n_columns: usize,
    stride: usize,
}

impl<T: Element> Rows<T> {
    /// A copy; a row that is repeated is copied once.
    fn of(matrix: Matrix<'_, T>) -> Result<Self, Error> {
        let (count, n_columns) = (matrix.rows(), matrix.columns());
        let stride = if matrix.stride() == 0 { 0 } else { n_columns };
        let mut numbers = zeros(if stride == 0 { n_columns } else { count * n_columns })?;
        for (i, row) in numbers.chunks_exact_mut(n_columns).enumerate() {
            row.copy_from_slice(matrix.row(i));
        }
        Ok(Self { numbers, count, n_columns, stride })
    }

    /// Place for so many rows.
    fn empty(count: usize, n_columns: usize) -> Result<Self, Error> {
        Ok(Self { numbers: zeros(count * n_columns)?, count, n_columns, stride: n_columns })
    }

    fn matrix(&self) -> Matrix<'_, T> {
        Matrix::new(&self.numbers, self.count, self.n_columns, self.stride)
    }

    /// Copies the rows of `from` that `order` names.
    fn gather(&mut self, from: &Self, order: &[usize]) {
        let from = from.matrix();
        for (&row, out) in order.iter().zip(self.numbers.chunks_exact_mut(self.n_columns)) {
            out.copy_from_slice(from.row(row));
        }
    }
}

/// The samples, their targets, and their weights in one column.
type Columns<T> = (Rows<T>, Rows<T>, Option<Rows<T>>);

fn batch<T: Element>((x, y, weights): &Columns<T>) -> Batch<'_, T> {
    Batch { x: x.matrix(), y: y.matrix(), weights: weights.as_ref().map(|weights| &weights.numbers[..]) }
}

/// The data, copied and cut into batches.
#[derive(Debug)]
pub struct Batches<T> {
    data: Columns<T>,
    n_samples: usize,
    batch_size: usize,
    shuffled: Option<Shuffled<T>>,
}

#[derive(Debug)]
struct Shuffled<T> {
    seed: u64,
    epoch: Option<usize>,
    order: Vec<usize>,
    batch: Columns<T>,
}

impl<T: Element> Batches<T> {
    /// Batches of `batch_size` samples, the last one of an epoch perhaps smaller; shuffled where there is a seed.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    ///
    /// # Panics
    ///
    /// If `x`, `y` and `weights` differ in their rows, or the batch size is not from 1 to that number.
    pub fn new(data: Batch<'_, T>, batch_size: usize, seed: Option<u64>) -> Result<Self, Error> {
        let Batch { x, y, weights } = data;
        let n_samples = x.rows();
        assert_eq!(n_samples, y.rows(), "rows of x, of y");
        assert!(weights.is_none_or(|weights| weights.len() == n_samples), "rows of x, weights");
        assert!(0 < batch_size && batch_size <= n_samples, "batch_size {batch_size} of {n_samples}");
        let column = weights.map(|weights| Rows::of(Matrix::packed(weights, n_samples, 1))).transpose()?;
        let shuffled = match seed {
            None => None,
            Some(seed) => Some(Shuffled {
                seed,
                epoch: None,
                order: zeros(n_samples)?,
                batch: (
                    Rows::empty(batch_size, x.columns())?,
                    Rows::empty(batch_size, y.columns())?,
                    weights.map(|_| Rows::empty(batch_size, 1)).transpose()?,
                ),
            }),
        };
        Ok(Self { data: (Rows::of(x)?, Rows::of(y)?, column), n_samples, batch_size, shuffled })
    }

    /// All samples.
    #[must_use]
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn per_epoch(&self) -> usize {
        self.n_samples.div_ceil(self.batch_size)
    }

    /// Samples in a whole batch.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// All of them, in the order of the data.
    pub(super) fn all(&self) -> Batch<'_, T> {
        batch(&self.data)
    }

    /// The place among all of one sample of an epoch.
    pub(super) fn sample(&mut self, epoch: usize, number: usize) -> usize {
        match &mut self.shuffled {
            None => number,
            Some(shuffled) => shuffled.order(epoch)[number],
        }
    }

    /// One batch of an epoch.
    pub fn get(&mut self, epoch: usize, number: usize) -> Batch<'_, T> {
        let start = number * self.batch_size;
        let rows = start..self.n_samples.min(start + self.batch_size);
        match &mut self.shuffled {
            None => batch(&self.data).window(start, rows.len()),
            Some(shuffled) => {
                shuffled.gather(epoch, rows.clone(), &self.data);
                batch(&shuffled.batch).window(0, rows.len())
            }
        }
    }
}

impl<T: Element> Shuffled<T> {
    fn gather(&mut self, epoch: usize, rows: Range<usize>, (x, y, weights): &Columns<T>) {
        self.order(epoch);
        let order = &self.order[rows];
        self.batch.0.gather(x, order);
        self.batch.1.gather(y, order);
        if let (Some(out), Some(weights)) = (&mut self.batch.2, weights) {
            out.gather(weights, order);
        }
    }

    /// The order of an epoch.
    fn order(&mut self, epoch: usize) -> &[usize] {
        if self.epoch != Some(epoch) {
            self.draw_order(epoch);
        }
        &self.order
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
