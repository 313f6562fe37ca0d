//! The level `avx2`: 256-bit registers, AVX2 and FMA (Intel since 2013, AMD since 2015).
//!
//! Sixteen registers: a tile of 6 × 2 accumulators, two registers of the right operand and one broadcast.

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{F32x8, F64x4};

/// Where there is no AVX2 the names stand for the portable registers, and the level is never chosen.
#[cfg(not(target_arch = "x86_64"))]
pub(super) use super::portable::Lanes as Absent;
#[cfg(not(target_arch = "x86_64"))]
pub type F32x8 = Absent<f32>;
#[cfg(not(target_arch = "x86_64"))]
pub type F64x4 = Absent<f64>;

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)] // some fifty intrinsics
    use std::arch::x86_64::*;

    use crate::kernels::level::Kernel;
    use crate::kernels::vector::{Arithmetic, Vector, one_instruction_each};

    /// Runs a kernel with AVX2 and FMA enabled in everything that is inlined into it.
    ///
    /// # Safety
    ///
    /// The CPU has these features.
    #[target_feature(enable = "avx2,fma")]
    #[inline(never)]
    unsafe fn enter<V: Vector, K: Kernel<V::Element>>(kernel: K) -> K::Output {
        // SAFETY: this function's own features are those of the registers.
        unsafe { kernel.run::<V>() }
    }

    /// Eight `f32`.
    #[derive(Clone, Copy, Debug)]
    pub struct F32x8(__m256);

    /// Four `f64`.
    #[derive(Clone, Copy, Debug)]
    pub struct F64x4(__m256d);

    /// Eight set lanes, then eight clear ones: a window of it that starts `n` lanes before the middle masks `n` lanes.
    static MASK_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static MASK_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

    impl Arithmetic for F32x8 {
        type Element = f32;
        const LANES: usize = 8;

        one_instruction_each!(f32: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps,
            _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_sqrt_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_min_ps);

        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> Self {
            debug_assert!(0 < n && n < 8);
            // SAFETY: n < 8 keeps the window inside MASK_32; masked lanes are not read.
            unsafe {
                let mask = _mm256_loadu_si256(MASK_32.as_ptr().add(8 - n).cast());
                Self(_mm256_maskload_ps(from, mask))
            }
        }

        /// Halves by branches: a masked store costs some twelve cycles on AMD, and `n` seldom changes in a loop.
        #[inline(always)]
        unsafe fn store_first(self, mut to: *mut f32, n: usize) {
            debug_assert!(0 < n && n < 8);
            // SAFETY: the three pieces are disjoint and together write n lanes, for which `to` is valid.
            unsafe {
                let mut rest = _mm256_castps256_ps128(self.0);
                if n & 4 != 0 {
                    _mm_storeu_ps(to, rest);
                    rest = _mm256_extractf128_ps::<1>(self.0);
                    to = to.add(4);
                }
                if n & 2 != 0 {
                    _mm_store_sd(to.cast(), _mm_castps_pd(rest));
                    rest = _mm_movehl_ps(rest, rest);
                    to = to.add(2);
                }
                if n & 1 != 0 {
                    _mm_store_ss(to, rest);
                }
            }
        }

        #[inline(always)]
        unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            unsafe {
                let less = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0);
                Self(_mm256_or_ps(_mm256_and_ps(less, yes.0), _mm256_andnot_ps(less, no.0)))
            }
        }

        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
        }

        #[inline(always)]
        unsafe fn with_sign_of(self, other: Self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            Self(unsafe { _mm256_or_ps(self.0, _mm256_and_ps(_mm256_set1_ps(-0.0), other.0)) })
        }

        #[inline(always)]
        unsafe fn shift_into_exponent(self) -> Self {
            // SAFETY: the CPU has AVX2 (contract of `Arithmetic`).
            unsafe { Self(_mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(self.0)))) }
        }

        #[inline(always)]
        unsafe fn shift_into_sign(self) -> Self {
            // SAFETY: the CPU has AVX2 (contract of `Arithmetic`).
            unsafe { Self(_mm256_castsi256_ps(_mm256_slli_epi32::<31>(_mm256_castps_si256(self.0)))) }
        }

        #[inline(always)]
        unsafe fn any_less(self, other: Self) -> bool {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0)) != 0 }
        }
    }

    impl Vector for F32x8 {
        type Half = Self;
        const MR: usize = 6;

        #[inline(always)]
        unsafe fn enter<K: Kernel<f32>>(kernel: K) -> K::Output {
            // SAFETY: the CPU has the features (contract of `Arithmetic`).
            unsafe { enter::<Self, K>(kernel) }
        }

        /// Eight rows are interleaved in pairs, then in fours, then their halves are exchanged.
        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
            // SAFETY: the caller's pointers are valid for an 8 × 8 block at their strides.
            unsafe {
                let mut rows = [_mm256_setzero_ps(); 8];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_ps(from.add(i * from_stride));
                }
                let [a, b, c, d, e, f, g, h] = rows;
                let (ab0, ab1) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd0, cd1) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let (ef0, ef1) = (_mm256_unpacklo_ps(e, f), _mm256_unpackhi_ps(e, f));
                let (gh0, gh1) = (_mm256_unpacklo_ps(g, h), _mm256_unpackhi_ps(g, h));
                let top = [
                    _mm256_shuffle_ps::<0x44>(ab0, cd0),
                    _mm256_shuffle_ps::<0xEE>(ab0, cd0),
                    _mm256_shuffle_ps::<0x44>(ab1, cd1),
                    _mm256_shuffle_ps::<0xEE>(ab1, cd1),
                ];
                let bottom = [
                    _mm256_shuffle_ps::<0x44>(ef0, gh0),
                    _mm256_shuffle_ps::<0xEE>(ef0, gh0),
                    _mm256_shuffle_ps::<0x44>(ef1, gh1),
                    _mm256_shuffle_ps::<0xEE>(ef1, gh1),
                ];
                for j in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(top[j], bottom[j]);
                    let high = _mm256_permute2f128_ps::<0x31>(top[j], bottom[j]);
                    _mm256_storeu_ps(to.add(j * to_stride), low);
                    _mm256_storeu_ps(to.add((j + 4) * to_stride), high);
                }
            }
        }
    }

    impl Arithmetic for F64x4 {
        type Element = f64;
        const LANES: usize = 4;

        one_instruction_each!(f64: _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd,
            _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_sqrt_pd, _mm256_fmadd_pd, _mm256_fnmadd_pd, _mm256_min_pd);

        #[inline(always)]
        unsafe fn load_first(from: *const f64, n: usize) -> Self {
            debug_assert!(0 < n && n < 4);
            // SAFETY: n < 4 keeps the window inside MASK_64; masked lanes are not read.
            unsafe {
                let mask = _mm256_loadu_si256(MASK_64.as_ptr().add(4 - n).cast());
                Self(_mm256_maskload_pd(from, mask))
            }
        }

        /// Halves by branches, as in `F32x8`.
        #[inline(always)]
        unsafe fn store_first(self, mut to: *mut f64, n: usize) {
            debug_assert!(0 < n && n < 4);
            // SAFETY: the two pieces are disjoint and together write n lanes, for which `to` is valid.
            unsafe {
                let mut rest = _mm256_castpd256_pd128(self.0);
                if n & 2 != 0 {
                    _mm_storeu_pd(to, rest);
                    rest = _mm256_extractf128_pd::<1>(self.0);
                    to = to.add(2);
                }
                if n & 1 != 0 {
                    _mm_store_sd(to, rest);
                }
            }
        }

        #[inline(always)]
        unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            unsafe {
                let less = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, other.0);
                Self(_mm256_or_pd(_mm256_and_pd(less, yes.0), _mm256_andnot_pd(less, no.0)))
            }
        }

        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            Self(unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0) })
        }

        #[inline(always)]
        unsafe fn with_sign_of(self, other: Self) -> Self {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            Self(unsafe { _mm256_or_pd(self.0, _mm256_and_pd(_mm256_set1_pd(-0.0), other.0)) })
        }

        #[inline(always)]
        unsafe fn shift_into_exponent(self) -> Self {
            // SAFETY: the CPU has AVX2 (contract of `Arithmetic`).
            unsafe { Self(_mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(self.0)))) }
        }

        #[inline(always)]
        unsafe fn shift_into_sign(self) -> Self {
            // SAFETY: the CPU has AVX2 (contract of `Arithmetic`).
            unsafe { Self(_mm256_castsi256_pd(_mm256_slli_epi64::<63>(_mm256_castpd_si256(self.0)))) }
        }

        #[inline(always)]
        unsafe fn any_less(self, other: Self) -> bool {
            // SAFETY: the CPU has AVX (contract of `Arithmetic`).
            unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(self.0, other.0)) != 0 }
        }
    }

    impl Vector for F64x4 {
        type Half = Self;
        const MR: usize = 6;

        #[inline(always)]
        unsafe fn enter<K: Kernel<f64>>(kernel: K) -> K::Output {
            // SAFETY: the CPU has the features (contract of `Arithmetic`).
            unsafe { enter::<Self, K>(kernel) }
        }

        /// Four rows are interleaved in pairs, then their halves are exchanged.
        #[inline(always)]
        unsafe fn transpose(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
            // SAFETY: the caller's pointers are valid for a 4 × 4 block at their strides.
            unsafe {
                let mut rows = [_mm256_setzero_pd(); 4];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = _mm256_loadu_pd(from.add(i * from_stride));
                }
                let [a, b, c, d] = rows;
                let (ab0, ab1) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
                let (cd0, cd1) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
                _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(ab0, cd0));
                _mm256_storeu_pd(to.add(to_stride), _mm256_permute2f128_pd::<0x20>(ab1, cd1));
                _mm256_storeu_pd(to.add(2 * to_stride), _mm256_permute2f128_pd::<0x31>(ab0, cd0));
                _mm256_storeu_pd(to.add(3 * to_stride), _mm256_permute2f128_pd::<0x31>(ab1, cd1));
            }
        }
    }
}
