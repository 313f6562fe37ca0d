//! What a round may write: parts of a slice that were checked not to overlap when they were laid out, of which each job
//! takes its own once in a round.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernels::MatrixMut;

/// A part of a slice: rows of numbers at a stride.
#[derive(Clone, Debug)]
pub struct Part {
    start: usize,
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Of a part whose end is no number: what ends behind a wrap would seem to lie in any slice.
const TOO_FAR: &str = "no slice goes as far as the part";

impl From<Range<usize>> for Part {
    fn from(Range { start, end }: Range<usize>) -> Self {
        let columns = end.saturating_sub(start);
        Self { start, rows: 1, columns, stride: columns }
    }
}

impl Part {
    /// Some columns of the first `rows` rows of a slice.
    #[must_use]
    pub fn columns(columns: Range<usize>, rows: usize, stride: usize) -> Self {
        Self { start: columns.start, rows, columns: columns.len(), stride }
    }

    /// The same of rows that begin so many numbers later.
    ///
    /// # Panics
    ///
    /// If no slice goes so far.
    #[must_use]
    pub fn after(self, start: usize) -> Self {
        Self { start: start.checked_add(self.start).expect(TOO_FAR), ..self }
    }

    fn is_empty(&self) -> bool {
        self.rows == 0 || self.columns == 0
    }

    fn end(&self) -> usize {
        if self.is_empty() {
            return self.start;
        }
        let last = (self.rows - 1).checked_mul(self.stride).and_then(|last| last.checked_add(self.columns));
        last.and_then(|length| length.checked_add(self.start)).expect(TOO_FAR)
    }

    /// Whether a part that does not begin before this one has none of its numbers.
    fn is_disjoint(&self, later: &Self) -> bool {
        if self.end() <= later.start {
            return true;
        }
        let rows_agree = self.stride == later.stride && self.stride > 0;
        let column = (later.start - self.start) % self.stride.max(1);
        rows_agree && self.columns <= column && column + later.columns <= self.stride
    }
}

/// Parts of a slice that do not overlap, some for each job of a round.
#[derive(Debug)]
pub struct Partition {
    parts: Vec<Part>,
    /// The first part of each job; one more entry closes the last.
    jobs: Vec<usize>,
    /// The round in which a job's parts were taken last.
    taken: Vec<AtomicU64>,
    round: u64,
    end: usize,
}

impl Partition {
    /// The parts of each job.
    ///
    /// # Panics
    ///
    /// If any two of them overlap, or one ends where no slice does.
    #[must_use]
    pub fn new(jobs: impl IntoIterator<Item = impl IntoIterator<Item = impl Into<Part>>>) -> Self {
        let (mut parts, mut starts) = (Vec::<Part>::new(), vec![0]);
        for job in jobs {
            parts.extend(job.into_iter().map(Into::into));
            starts.push(parts.len());
        }
        let mut sorted: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
        sorted.sort_by_key(|part| part.start);
        for (i, part) in sorted.iter().enumerate() {
            assert!(part.rows <= 1 || part.columns <= part.stride, "the rows of a part overlap");
            let mut near = sorted[i + 1..].iter().take_while(|later| later.start < part.end());
            assert!(near.all(|later| part.is_disjoint(later)), "parts overlap");
        }
        let end = parts.iter().map(Part::end).max().unwrap_or(0);
        let taken = (1..starts.len()).map(|_| AtomicU64::new(0)).collect();
        Self { parts, jobs: starts, taken, round: 0, end }
    }

    /// The end of the last part.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// The number of jobs.
    #[must_use]
    pub fn n_jobs(&self) -> usize {
        self.taken.len()
    }

    /// The parts of `slice`, for one round.
    ///
    /// # Panics
    ///
    /// If the slice ends before the last part.
    pub fn split<'a, T>(&'a mut self, slice: &'a mut [T]) -> Split<'a, T> {
        assert!(self.end <= slice.len(), "the slice is shorter than its parts");
        self.round = self.round.wrapping_add(1);
        Split { partition: self, start: slice.as_mut_ptr(), slice: PhantomData }
    }
}

/// A slice in parts, of which each job takes its own once.
#[derive(Debug)]
pub struct Split<'a, T> {
    partition: &'a Partition,
    start: *mut T,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: what is shared is handed out in parts that do not overlap, each to one taker.
unsafe impl<T: Send> Sync for Split<'_, T> {}

impl<'a, T> Split<'a, T> {
    /// The parts of one job.
    ///
    /// # Panics
    ///
    /// If they were taken before.
    #[must_use]
    pub fn take(&'a self, job: usize) -> Parts<'a, T> {
        let Partition { parts, jobs, taken, round, .. } = self.partition;
        assert!(taken[job].swap(*round, Ordering::Relaxed) != *round, "a job's parts are taken twice");
        Parts { start: self.start, of_job: &parts[jobs[job]..jobs[job + 1]], slice: PhantomData }
    }
}

/// The parts of one job.
#[derive(Debug)]
pub struct Parts<'a, T> {
    start: *mut T,
    of_job: &'a [Part],
    slice: PhantomData<&'a mut [T]>,
}

impl<T> Parts<'_, T> {
    /// Where a part without gaps begins, and its length.
    fn slice(&self, part: usize) -> (*mut T, usize) {
        let part = &self.of_job[part];
        assert!(part.rows <= 1 || part.columns == part.stride, "a part with gaps is no slice");
        // SAFETY: `Partition::split` has checked that the slice holds all parts.
        (unsafe { self.start.add(part.start) }, part.rows * part.columns)
    }

    /// One part.
    ///
    /// # Panics
    ///
    /// If there is no such part, or it has gaps.
    #[must_use]
    pub fn get(&self, part: usize) -> &[T] {
        let (start, length) = self.slice(part);
        // SAFETY: `Partition::split` has checked that the slice holds all parts; they do not overlap, and this job's were
        // taken once. Of them none is borrowed mutably while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    /// One part, to be written.
    ///
    /// # Panics
    ///
    /// If there is no such part, or it has gaps.
    pub fn get_mut(&mut self, part: usize) -> &mut [T] {
        let (start, length) = self.slice(part);
        // SAFETY: as for `get`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }

    /// The rows of one part, to be written.
    ///
    /// # Panics
    ///
    /// If there is no such part.
    pub fn matrix_mut(&mut self, part: usize) -> MatrixMut<'_, T> {
        let &Part { start, rows, columns, stride } = &self.of_job[part];
        // SAFETY: as for `get_mut`; `Partition::new` has checked that rows do not overlap.
        unsafe { MatrixMut::of_columns(self.start.add(start), rows, columns, stride) }
    }

    /// Some parts to be read and others to be written.
    ///
    /// # Panics
    ///
    /// If there is no such part, one has gaps, or one is to be written and named again.
    pub fn get_beside<const N: usize, const M: usize>(
        &mut self,
        read: [usize; N],
        write: [usize; M],
    ) -> ([&[T]; N], [&mut [T]; M]) {
        for (i, part) in write.iter().enumerate() {
            assert!(!read.contains(part) && !write[..i].contains(part), "a part is to be written and named again");
        }
        let (read, write) = (read.map(|part| self.slice(part)), write.map(|part| self.slice(part)));
        // SAFETY: as for `get`; the parts to be written do not overlap any other, and `self` is borrowed mutably.
        unsafe {
            (
                read.map(|(start, length)| std::slice::from_raw_parts(start, length)),
                write.map(|(start, length)| std::slice::from_raw_parts_mut(start, length)),
            )
        }
    }
}
