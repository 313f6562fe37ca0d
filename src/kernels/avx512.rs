//! The level `avx512`: 512-bit registers and masks (Intel since 2017, AMD since 2022), with AVX2 beside them.
//!
//! Thirty-two registers: a tile of 12 × 2 accumulators. Partial registers use masks, which cost nothing here.

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{F32x16, F64x8};

#[cfg(not(target_arch = "x86_64"))]
pub(super) use super::avx2::{F32x8 as F32x16, F64x4 as F64x8};

#[cfg(target_arch = "x86_64")]
mod x86 {
    #[allow(clippy::wildcard_imports)] // some fifty intrinsics
    use std::arch::x86_64::*;

    use crate::kernels::avx2::{F32x8, F64x4};
    use crate::kernels::level::Kernel;
    use crate::kernels::vector::{Arithmetic, Vector, one_instruction_each};

    /// Runs a kernel with AVX-512 (F, BW, DQ, VL), AVX2 and FMA enabled in everything that is inlined into it.
    ///
    /// # Safety
    ///
    /// The CPU has these features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    #[inline(never)]
    unsafe fn enter<V: Vector, K: Kernel<V::Element>>(kernel: K) -> K::Output {
        // SAFETY: this function's own features are those of the registers.
        unsafe { kernel.run::<V>() }
    }

    /// Sixteen `f32`.
    #[derive(Clone, Copy, Debug)]
    pub struct F32x16(__m512);

    /// Eight `f64`.
    #[derive(Clone, Copy, Debug)]
    pub struct F64x8(__m512d);

    impl Arithmetic for F32x16 {
        type Element = f32;
        const LANES: usize = 16;

        one_instruction_each!(f32: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps,
            _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_sqrt_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_min_ps);

        #[inline(always)]
        unsafe fn load_first(from: *const f32, n: usize) -> Self {
            debug_assert!(0 < n && n < 16);
            // SAFETY: masked lanes are not read; `from` is valid for the n others.
            Self(unsafe { _mm512_maskz_loadu_ps((1 << n) - 1, from) })
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, n: usize) {
            debug_assert!(0 < n && n < 16);
            // SAFETY: masked lanes are not written; `to` is valid for the n others.
            unsafe { _mm512_mask_storeu_ps(to, (1 << n) - 1, self.0) };
        }

        #[inline(always)]
        unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe {
                let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0);
                Self(_mm512_mask_blend_ps(less, no.0, yes.0))
            }
        }

        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            Self(unsafe { _mm512_abs_ps(self.0) })
        }

        #[inline(always)]
        unsafe fn with_sign_of(self, other: Self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            Self(unsafe { _mm512_or_ps(self.0, _mm512_and_ps(_mm512_set1_ps(-0.0), other.0)) })
        }

        #[inline(always)]
        unsafe fn shift_into_exponent(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0)))) }
        }

        #[inline(always)]
        unsafe fn shift_into_sign(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { Self(_mm512_castsi512_ps(_mm512_slli_epi32::<31>(_mm512_castps_si512(self.0)))) }
        }

        #[inline(always)]
        unsafe fn any_less(self, other: Self) -> bool {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) != 0 }
        }
    }

    impl Vector for F32x16 {
        type Half = F32x8;
        const MR: usize = 12;

        #[inline(always)]
        unsafe fn enter<K: Kernel<f32>>(kernel: K) -> K::Output {
            // SAFETY: the CPU has the features (contract of `Arithmetic`).
            unsafe { enter::<Self, K>(kernel) }
        }

        #[inline(always)]
        unsafe fn transpose(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
            // SAFETY: the caller's pointers are valid for a 16 × 16 block at their strides.
            unsafe { transpose_quarters::<F32x8>(from, from_stride, to, to_stride) };
        }
    }

    impl Arithmetic for F64x8 {
        type Element = f64;
        const LANES: usize = 8;

        one_instruction_each!(f64: _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd,
            _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_sqrt_pd, _mm512_fmadd_pd, _mm512_fnmadd_pd, _mm512_min_pd);

        #[inline(always)]
        unsafe fn load_first(from: *const f64, n: usize) -> Self {
            debug_assert!(0 < n && n < 8);
            // SAFETY: masked lanes are not read; `from` is valid for the n others.
            Self(unsafe { _mm512_maskz_loadu_pd((1 << n) - 1, from) })
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f64, n: usize) {
            debug_assert!(0 < n && n < 8);
            // SAFETY: masked lanes are not written; `to` is valid for the n others.
            unsafe { _mm512_mask_storeu_pd(to, (1 << n) - 1, self.0) };
        }

        #[inline(always)]
        unsafe fn select_less(self, other: Self, yes: Self, no: Self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe {
                let less = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0);
                Self(_mm512_mask_blend_pd(less, no.0, yes.0))
            }
        }

        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            Self(unsafe { _mm512_abs_pd(self.0) })
        }

        #[inline(always)]
        unsafe fn with_sign_of(self, other: Self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            Self(unsafe { _mm512_or_pd(self.0, _mm512_and_pd(_mm512_set1_pd(-0.0), other.0)) })
        }

        #[inline(always)]
        unsafe fn shift_into_exponent(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { Self(_mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(self.0)))) }
        }

        #[inline(always)]
        unsafe fn shift_into_sign(self) -> Self {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { Self(_mm512_castsi512_pd(_mm512_slli_epi64::<63>(_mm512_castpd_si512(self.0)))) }
        }

        #[inline(always)]
        unsafe fn any_less(self, other: Self) -> bool {
            // SAFETY: the CPU has AVX-512 (contract of `Arithmetic`).
            unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, other.0) != 0 }
        }
    }

    impl Vector for F64x8 {
        type Half = F64x4;
        const MR: usize = 12;

        #[inline(always)]
        unsafe fn enter<K: Kernel<f64>>(kernel: K) -> K::Output {
            // SAFETY: the CPU has the features (contract of `Arithmetic`).
            unsafe { enter::<Self, K>(kernel) }
        }

        #[inline(always)]
        unsafe fn transpose(from: *const f64, from_stride: usize, to: *mut f64, to_stride: usize) {
            // SAFETY: the caller's pointers are valid for an 8 × 8 block at their strides.
            unsafe { transpose_quarters::<F64x4>(from, from_stride, to, to_stride) };
        }
    }

    /// Transposes a block of twice `Half::LANES` by its quarters: the two off the diagonal change places.
    #[inline(always)]
    unsafe fn transpose_quarters<Half: Vector>(
        from: *const Half::Element,
        from_stride: usize,
        to: *mut Half::Element,
        to_stride: usize,
    ) {
        let half = Half::LANES;
        for (i, j) in [(0, 0), (0, half), (half, 0), (half, half)] {
            // SAFETY: each quarter lies inside the caller's block.
            unsafe {
                let (quarter, place) = (from.add(i * from_stride + j), to.add(j * to_stride + i));
                Half::transpose(quarter, from_stride, place, to_stride);
            }
        }
    }
}
