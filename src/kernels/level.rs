//! `Level`: which instructions the kernels use. Detected once, pinned by `IRONPROP_LEVEL`, never a matter of bits.
//!
//! A `Level` can only be had for instructions that the CPU has, which is what makes `Level::run` safe.

use std::fmt;
use std::sync::OnceLock;

use super::vector::{Arithmetic, Element, Vector};
use crate::error::Error;

/// Work written once over `Vector`, to be run at some level.
pub trait Kernel<T: Element> {
    /// What the work returns.
    type Output;

    /// The work itself. An implementation is `#[inline(always)]`, and so is what it calls in its loops: only what
    /// is inlined into `Vector::enter` is compiled with the level's instructions.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions of `V`; `Level::run` sees to it, and `Vector::enter` passes it on.
    unsafe fn run<V: Vector<Element = T>>(self) -> Self::Output;
}

/// A set of instructions that this CPU has.
///
/// ```
/// use ironprop::kernels::Level;
///
/// let levels: Vec<&str> = Level::available().into_iter().map(Level::name).collect();
/// assert_eq!(levels[0], "portable");
/// assert!(Level::named("sse9").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    registers: Instructions,
    /// Those of the level that this one was chosen from.
    widest: Instructions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The names of all levels that this build knows, slowest first.
    pub const NAMES: &'static [&'static str] =
        if cfg!(target_arch = "x86_64") { &["portable", "avx2", "avx512"] } else { &["portable"] };

    const fn of(instructions: Instructions) -> Self {
        Self { registers: instructions, widest: instructions }
    }

    /// The levels that this CPU has, slowest first; `portable` is always among them.
    #[must_use]
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)] // on targets with one level
        let mut levels = vec![Self::of(Instructions::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 {
                levels.push(Self::of(Instructions::Avx2));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                levels.push(Self::of(Instructions::Avx512));
            }
        }
        levels
    }

    /// The level of that name.
    ///
    /// # Errors
    ///
    /// `Error::UnknownLevel` for a name that no level has, `Error::MissingLevel` for one that this CPU lacks.
    pub fn named(name: &str) -> Result<Self, Error> {
        if !Self::NAMES.contains(&name) {
            return Err(Error::UnknownLevel { name: name.to_owned() });
        }
        let available = Self::available();
        available.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
            let available = available.into_iter().map(Self::name).collect();
            Error::MissingLevel { name: name.to_owned(), available }
        })
    }

    /// The level of this process: that of `IRONPROP_LEVEL`, read once, or else the fastest that the CPU has.
    ///
    /// # Errors
    ///
    /// As for [`Level::named`], where the variable is set.
    pub fn current() -> Result<Self, Error> {
        static CURRENT: OnceLock<Result<Level, Error>> = OnceLock::new();
        CURRENT
            .get_or_init(|| match std::env::var("IRONPROP_LEVEL") {
                Ok(name) if !name.is_empty() => Self::named(&name),
                _ => Ok(Self::available().into_iter().next_back().unwrap_or(Self::of(Instructions::Portable))),
            })
            .clone()
    }

    /// The level's name: `portable`, `avx2` or `avx512`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.registers {
            Instructions::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => "avx512",
        }
    }

    /// Numbers in one register: matrices whose rows are padded to a multiple of it have no partial registers.
    #[must_use]
    pub fn lanes<T: Element>(self) -> usize {
        match self.registers {
            Instructions::Portable => T::Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => T::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => T::Avx512::LANES,
        }
    }

    /// Numbers in half a register (`Vector::Half`), where there are such; else in one.
    #[must_use]
    pub fn half_lanes<T: Element>(self) -> usize {
        self.for_rows_of::<T>(1).lanes::<T>()
    }

    /// The level for rows of so many numbers: one of narrower registers where half of each would stay empty.
    #[must_use]
    pub fn for_rows_of<T: Element>(self, columns: usize) -> Self {
        match self.registers {
            #[cfg(target_arch = "x86_64")]
            // Whoever has AVX-512 has AVX2.
            Instructions::Avx512 if columns <= T::Avx2::LANES => Self { registers: Instructions::Avx2, ..self },
            _ => self,
        }
    }

    /// Whether it was chosen for its narrow registers, and the CPU has those of `Element::Avx512`.
    pub(super) fn is_narrowed(self) -> bool {
        self.registers != self.widest
    }

    /// Runs a kernel with the registers of this level.
    #[inline]
    pub(super) fn run<T: Element, K: Kernel<T>>(self, kernel: K) -> K::Output {
        match self.registers {
            // SAFETY: portable registers need no instructions beyond the target's own.
            Instructions::Portable => unsafe { T::Portable::enter(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX2 exists only where `available` has found AVX2 and FMA.
            Instructions::Avx2 => unsafe { T::Avx2::enter(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX-512 exists only where `available` has found all five features and AVX2, FMA.
            Instructions::Avx512 => unsafe { T::Avx512::enter(kernel) },
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
