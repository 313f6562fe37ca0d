//! What a round may write: parts of a slice that were checked not to overlap when they were laid out, of which each job
//! takes its own once in a round.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a slice that do not overlap, some for each job of a round.
#[derive(Debug)]
pub struct Partition {
    parts: Vec<Range<usize>>,
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
    /// If any two of them overlap.
    #[must_use]
    pub fn new(jobs: impl IntoIterator<Item = impl IntoIterator<Item = Range<usize>>>) -> Self {
        let (mut parts, mut starts) = (Vec::new(), vec![0]);
        for job in jobs {
            parts.extend(job);
            starts.push(parts.len());
        }
        let mut sorted: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
        sorted.sort_by_key(|part| part.start);
        assert!(sorted.windows(2).all(|pair| pair[0].end <= pair[1].start), "parts overlap");
        let end = parts.iter().map(|part| part.start.max(part.end)).max().unwrap_or(0);
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
        Parts { start: self.start, ranges: &parts[jobs[job]..jobs[job + 1]], slice: PhantomData }
    }
}

/// The parts of one job.
#[derive(Debug)]
pub struct Parts<'a, T> {
    start: *mut T,
    ranges: &'a [Range<usize>],
    slice: PhantomData<&'a mut [T]>,
}

impl<T> Parts<'_, T> {
    /// One part.
    ///
    /// # Panics
    ///
    /// If there is no such part.
    #[must_use]
    pub fn get(&self, part: usize) -> &[T] {
        let Range { start, end } = self.ranges[part].clone();
        // SAFETY: `Partition::split` has checked that the slice holds all parts; they do not overlap, and this job's were
        // taken once. Of them none is borrowed mutably while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.add(start), end.saturating_sub(start)) }
    }

    /// One part, to be written.
    ///
    /// # Panics
    ///
    /// If there is no such part.
    pub fn get_mut(&mut self, part: usize) -> &mut [T] {
        let Range { start, end } = self.ranges[part].clone();
        // SAFETY: as for `get`; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), end.saturating_sub(start)) }
    }

    /// Some parts to be read and others to be written.
    ///
    /// # Panics
    ///
    /// If there is no such part, or one is to be written and named again.
    pub fn get_beside<const N: usize, const M: usize>(
        &mut self,
        read: [usize; N],
        write: [usize; M],
    ) -> ([&[T]; N], [&mut [T]; M]) {
        for (i, part) in write.iter().enumerate() {
            assert!(!read.contains(part) && !write[..i].contains(part), "a part is to be written and named again");
        }
        let start = |part: usize| {
            let Range { start, end } = self.ranges[part].clone();
            // SAFETY: `Partition::split` has checked that the slice holds all parts.
            (unsafe { self.start.add(start) }, end.saturating_sub(start))
        };
        let (read, write) = (read.map(start), write.map(start));
        // SAFETY: as for `get`; the parts to be written do not overlap any other, and `self` is borrowed mutably.
        unsafe {
            (
                read.map(|(start, length)| std::slice::from_raw_parts(start, length)),
                write.map(|(start, length)| std::slice::from_raw_parts_mut(start, length)),
            )
        }
    }
}
