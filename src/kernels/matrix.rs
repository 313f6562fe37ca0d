//! `Matrix` and `MatrixMut`: borrowed rows of numbers at a stride. Their sizes are checked once, when they are made,
//! and are what the kernels' pointers rely on.

/// Read-only rows. A stride of 0 repeats one row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

/// Rows that are written; they never overlap.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

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
        Self { data, rows, columns, stride }
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
    #[must_use]
    pub fn into_matrix(self) -> Matrix<'a, T> {
        Matrix { data: self.data, rows: self.rows, columns: self.columns, stride: self.stride }
    }

    /// The same rows, lent for a while.
    #[must_use]
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { data: self.data, rows: self.rows, columns: self.columns, stride: self.stride }
    }

    /// The same rows, read-only.
    #[must_use]
    pub fn as_matrix(&self) -> Matrix<'_, T> {
        Matrix { data: self.data, rows: self.rows, columns: self.columns, stride: self.stride }
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
    pub fn into_data(self) -> &'a mut [T] {
        self.data
    }

    /// One row.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    #[must_use]
    pub fn row_mut(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &mut self.data[row * self.stride..][..self.columns]
    }

    pub(super) fn pointer(&mut self) -> Rows<*mut T> {
        Rows { start: self.data.as_mut_ptr(), stride: self.stride }
    }
}

/// Where the rows of a matrix are, for the kernels' pointers.
#[derive(Clone, Copy)]
pub(super) struct Rows<P> {
    pub start: P,
    pub stride: usize,
}

impl<T> Rows<*const T> {
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
