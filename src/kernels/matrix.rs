//! `Matrix` and `MatrixMut`: borrowed rows of numbers at a stride. Their sizes are checked once, when they are made,
//! and are what the kernels' pointers rely on.

use std::marker::PhantomData;

/// Read-only rows. A stride of 0 repeats one row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Rows that are written; they never overlap. What lies between them may belong to others: to other columns of the same rows.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    stride: usize,
    /// What lies between the rows is the matrix's own.
    is_whole: bool,
    numbers: PhantomData<&'a mut [T]>,
}

// SAFETY: it is as good as the slices of its rows, which it alone has.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}
// SAFETY: the same.
unsafe impl<T: Sync> Sync for MatrixMut<'_, T> {}

/// The length of a slice that holds `rows` rows of `columns` numbers, `stride` apart.
fn length(rows: usize, columns: usize, stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    (rows - 1).checked_mul(stride).and_then(|last| last.checked_add(columns)).expect("the size of a matrix overflows")
}

impl<'a, T> Matrix<'a, T> {
    /// `rows` rows of `columns` numbers, the next one `stride` numbers on.
    ///
    /// # Panics
    ///
    /// If `data` is too short for them.
    #[must_use]
    pub fn new(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(data.len() >= length(rows, columns, stride), "the slice is shorter than its matrix");
        Self { data, rows, columns, stride }
    }

    /// Rows that follow each other without a gap.
    ///
    /// # Panics
    ///
    /// If `data` is too short for them.
    #[must_use]
    pub fn packed(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns)
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers from one row to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The slice that the rows lie in.
    #[must_use]
    pub fn data(&self) -> &'a [T] {
        self.data
    }

    /// One row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &self.data[row * self.stride..][..self.columns]
    }

    /// Some consecutive rows.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[must_use]
    pub fn window(&self, start: usize, rows: usize) -> Self {
        assert!(start <= self.rows && rows <= self.rows - start, "rows {start} + {rows} of {}", self.rows);
        let from = if rows == 0 { 0 } else { start * self.stride };
        Self { data: &self.data[from..], rows, ..*self }
    }

    /// Some consecutive columns.
    ///
    /// # Panics
    ///
    /// If they are not all there.
    #[must_use]
    pub fn columns_of(&self, start: usize, columns: usize) -> Self {
        let end = start.checked_add(columns);
        assert!(end.is_some_and(|end| end <= self.columns), "columns {start} + {columns} of {}", self.columns);
        let from = if self.rows == 0 || columns == 0 { 0 } else { start };
        Self { data: &self.data[from..], columns, ..*self }
    }

    pub(super) fn pointer(&self) -> Rows<*const T> {
        Rows { start: self.data.as_ptr(), stride: self.stride }
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// `rows` rows of `columns` numbers, the next one `stride` numbers on.
    ///
    /// # Panics
    ///
    /// If `data` is too short for them, or if the rows would overlap.
    #[must_use]
    pub fn new(data: &'a mut [T], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(data.len() >= length(rows, columns, stride), "the slice is shorter than its matrix");
        assert!(stride >= columns || rows <= 1, "the rows of a matrix overlap");
        Self { start: data.as_mut_ptr(), rows, columns, stride, is_whole: true, numbers: PhantomData }
    }

    /// Some columns of rows whose other columns belong to others.
    ///
    /// # Safety
    ///
    /// For as long as the matrix lives, `columns` numbers from every `stride`-th place from `start` on, `rows` times, are valid
    /// and its own; `columns` is at most `stride`, or there is one row.
    pub(crate) unsafe fn of_columns(start: *mut T, rows: usize, columns: usize, stride: usize) -> Self {
        Self { start, rows, columns, stride, is_whole: false, numbers: PhantomData }
    }

    /// Rows that follow each other without a gap.
    ///
    /// # Panics
    ///
    /// If `data` is too short for them.
    #[must_use]
    pub fn packed(data: &'a mut [T], rows: usize, columns: usize) -> Self {
        Self::new(data, rows, columns, columns)
    }

    /// The same rows, no longer to be written.
    ///
    /// # Panics
    ///
    /// If what lies between them belongs to others.
    #[must_use]
    pub fn into_matrix(self) -> Matrix<'a, T> {
        let Self { rows, columns, stride, .. } = self;
        Matrix { data: self.into_data(), rows, columns, stride }
    }

    /// The same rows, lent for a while.
    #[must_use]
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { ..*self }
    }

    /// The same rows, read-only.
    ///
    /// # Panics
    ///
    /// If what lies between them belongs to others.
    #[must_use]
    pub fn as_matrix(&self) -> Matrix<'_, T> {
        let &Self { start, rows, columns, stride, .. } = self;
        // SAFETY: as for `into_data`; others may read the numbers meanwhile, so that this is no slice to be written.
        let data = unsafe { std::slice::from_raw_parts(start, self.length()) };
        Matrix { data, rows, columns, stride }
    }

    /// The first rows, and those from `row` on.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn split_rows(self, row: usize) -> (Self, Self) {
        assert!(row <= self.rows, "row {row} of {}", self.rows);
        let start = self.start.wrapping_add(row * self.stride); // which may lie behind the numbers where no rows are left
        (Self { rows: row, ..self }, Self { start, rows: self.rows - row, ..self })
    }

    /// The first columns.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn first_columns(self, columns: usize) -> Self {
        assert!(columns <= self.columns, "{columns} columns of {}", self.columns);
        Self { columns, ..self }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Numbers from one row to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The slice that the rows lie in.
    ///
    /// # Panics
    ///
    /// If what lies between them belongs to others.
    #[must_use]
    pub fn into_data(self) -> &'a mut [T] {
        // SAFETY: the numbers of all rows and between them are valid and the matrix's own, as its maker has seen to.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length()) }
    }

    /// That of the slice that the rows lie in.
    fn length(&self) -> usize {
        assert!(self.is_whole || self.rows <= 1, "what lies between the rows belongs to others");
        length(self.rows, self.columns, self.stride)
    }

    /// One row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        if self.columns == 0 {
            return &mut []; // which may be anywhere
        }
        // SAFETY: the numbers of this row are valid and the matrix's own.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    pub(super) fn pointer(&mut self) -> Rows<*mut T> {
        Rows { start: self.start, stride: self.stride }
    }
}

/// Where the rows of a matrix are, for the kernels' pointers.
#[derive(Clone, Copy)]
pub(super) struct Rows<P> {
    pub start: P,
    pub stride: usize,
}

impl<T> Rows<*const T> {
    /// The same rows from some row and column on, which may be where no numbers are.
    pub(super) fn from(self, row: usize, column: usize) -> Self {
        let offset = row.wrapping_mul(self.stride).wrapping_add(column);
        Self { start: self.start.wrapping_add(offset), ..self }
    }

    /// # Safety
    ///
    /// The rows have that number, or it is one past their end.
    #[inline(always)]
    pub(super) unsafe fn at(&self, row: usize, column: usize) -> *const T {
        // SAFETY: the caller vouches for the number.
        unsafe { self.start.add(row * self.stride + column) }
    }
}

impl<T> Rows<*mut T> {
    /// No rows at all.
    pub(super) const NOWHERE: Self = Self { start: std::ptr::null_mut(), stride: 0 };

    /// The same rows, to be read.
    pub(super) fn as_const(self) -> Rows<*const T> {
        Rows { start: self.start.cast_const(), stride: self.stride }
    }

    /// # Safety
    ///
    /// The rows have that number, or it is one past their end.
    #[inline(always)]
    pub(super) unsafe fn at(&self, row: usize, column: usize) -> *mut T {
        // SAFETY: the caller vouches for the number.
        unsafe { self.start.add(row * self.stride + column) }
    }
}
