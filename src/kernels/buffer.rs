//! `Buffer`: zeroed numbers that begin at a cache line, from which padded rows keep whole registers.

use crate::error::{Error, zeros};

/// Bytes of a cache line, and of the widest register.
pub const LINE: usize = 64;

/// A fixed number of numbers, aligned to a cache line.
#[derive(Debug)]
pub struct Buffer<T> {
    numbers: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> Buffer<T> {
    /// `length` zeros.
    ///
    /// # Errors
    ///
    /// `Error::OutOfMemory`
    pub fn new(length: usize) -> Result<Self, Error> {
        let slack = if length == 0 { 0 } else { LINE / size_of::<T>() };
        let numbers = zeros::<T>(length.checked_add(slack).ok_or(Error::OutOfMemory { numbers: length })?)?;
        // The allocation never moves: the vector is never grown.
        let misaligned = numbers.as_ptr().addr() % LINE;
        let start = if misaligned == 0 || length == 0 { 0 } else { (LINE - misaligned) / size_of::<T>() };
        Ok(Self { numbers, start, length })
    }

    /// All numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.numbers[self.start..][..self.length]
    }

    /// All numbers, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..][..self.length]
    }
}
