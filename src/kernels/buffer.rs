//! `Buffer`: zeroed numbers that begin at a cache line, from which padded rows keep whole registers; the memory of it, and how far rows
//! are apart.

use crate::error::Error;

/// Bytes of a cache line, and of the widest register.
pub const LINE: usize = 64;

/// Whether rows of so many numbers from one to the next begin in few sets of an L1 cache.
#[must_use]
pub(super) fn is_crowded<T>(stride: usize) -> bool {
    const FEW_SETS: usize = 512;
    stride.saturating_mul(size_of::<T>()).is_multiple_of(FEW_SETS)
}

/// Numbers from one of `rows` rows to the next: the `width`, and a cache line more where the rows of a matrix that outgrows
/// half of an L1 cache would begin in few of its sets.
#[must_use]
pub fn stride_of<T>(width: usize, rows: usize) -> usize {
    const HALF_CACHE: usize = 16 * 1024;
    let bytes = width.saturating_mul(size_of::<T>());
    let crowded = rows > 1 && is_crowded::<T>(width) && bytes.saturating_mul(rows) > HALF_CACHE;
    if crowded { width + LINE / size_of::<T>() } else { width }
}

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

/// A vector of `length` zeros.
///
/// # Errors
///
/// `Error::OutOfMemory`
pub(crate) fn zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>, Error> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { numbers: length })?;
    want_large_pages(&mut vector);
    vector.resize(length, T::default());
    Ok(vector)
}

/// Asks the system for large pages where it gives them on demand. The first touch of a small one takes some 2 µs: the memory of a
/// training of 1024-1024-1024-1024, 256 samples in float64 54 ms, of large ones 21 ms (Linux in a virtual machine).
fn want_large_pages<T>(vector: &mut Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        const WORTH: usize = 4 << 20; // two large pages: one is whole
        let room = vector.spare_capacity_mut();
        let (start, bytes) = (room.as_mut_ptr(), size_of_val(room));
        let skipped = start.addr().wrapping_neg() % PAGE;
        if bytes >= WORTH {
            // SAFETY: the range lies in the vector's own memory, whose contents the advice does not change; refusal is no harm.
            unsafe {
                libc::madvise(start.cast::<libc::c_void>().byte_add(skipped), bytes - skipped, libc::MADV_HUGEPAGE)
            };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = vector;
}
