//! The activations' exact values for float64: pairs of float64 numbers whose sum has some hundred bits.
//!
//! No step is shared with the kernels: exp by its series and six squarings, the normal distribution by its series and
//! continued fraction, the logarithm by one step of Newton from the result that is judged, the sine by its series.

/// An unevaluated sum of two numbers, the second at most half a unit of the first.
#[derive(Clone, Copy)]
pub(crate) struct Pair(pub f64, pub f64);

impl Pair {
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let t = s - a;
        Self(s, (a - (s - t)) + (b - t))
    }

    fn add(self, other: Self) -> Self {
        let (high, low) = (Self::sum(self.0, other.0), Self::sum(self.1, other.1));
        let middle = Self::sum(high.0, high.1 + low.0);
        Self::sum(middle.0, middle.1 + low.1)
    }

    fn mul(self, other: Self) -> Self {
        let product = self.0 * other.0;
        let rest = self.0.mul_add(other.0, -product) + (self.0 * other.1 + self.1 * other.0);
        Self::sum(product, rest)
    }

    fn scale(self, power_of_two: f64) -> Self {
        Self(self.0 * power_of_two, self.1 * power_of_two)
    }

    fn divide(self, divisor: Self) -> Self {
        let first = self.0 / divisor.0;
        let rest = self.add(divisor.mul(Self(-first, 0.0)));
        let second = rest.0 / divisor.0;
        let rest = rest.add(divisor.mul(Self(-second, 0.0)));
        Self::sum(first, second).add(Self(rest.0 / divisor.0, 0.0))
    }

    /// `self / divisor`, for a small whole divisor.
    fn over(self, divisor: f64) -> Self {
        let quotient = self.0 / divisor;
        Self::sum(quotient, ((-quotient).mul_add(divisor, self.0) + self.1) / divisor)
    }
}

/// exp y: r = y − n ln 2 with a logarithm in three parts (the products with n of the first two are exact), the series of
/// exp(r / 64) − 1, squared six times.
pub(crate) fn exp(y: f64) -> Pair {
    let parts = [0x3fe6_2e42_fefa_4000, 0xbd48_432a_1b0e_2000, 0xbaa8_cff8_1a12_a17e].map(f64::from_bits);
    let n = (y * std::f64::consts::LOG2_E).round();
    let r = Pair::sum(y - n * parts[0], -n * parts[1]).add(Pair(-n * parts[2], 0.0)).scale(1.0 / 64.0);
    let mut series = Pair(0.0, 0.0);
    for k in (1..=14).rev() {
        series = Pair(1.0, 0.0).add(series).mul(r).over(f64::from(k));
    }
    for _ in 0..6 {
        series = series.scale(2.0).add(series.mul(series));
    }
    Pair(1.0, 0.0).add(series).scale(f64::from_bits(((n as i64 + 1023) as u64) << 52))
}

/// exp y − 1, from the series where the difference would lose digits.
fn expm1(y: f64) -> Pair {
    if y.abs() > 1e-3 {
        return exp(y).add(Pair(-1.0, 0.0));
    }
    let y = Pair(y, 0.0);
    let mut series = Pair(0.0, 0.0);
    for k in (1..=8).rev() {
        series = Pair(1.0, 0.0).add(series).mul(y).over(f64::from(k));
    }
    series
}

/// How far `result` is from the exact value, in units of the last place of the latter. Subnormal numbers are
/// stored as 0.
pub(crate) fn error(result: f64, exact: Pair) -> f64 {
    if exact.0.abs() < f64::MIN_POSITIVE {
        return if result.abs() <= f64::MIN_POSITIVE { 0.0 } else { f64::INFINITY };
    }
    let difference = exact.add(Pair(-result, 0.0));
    let unit = f64::from_bits((exact.0.abs().to_bits() >> 52) << 52) * f64::EPSILON;
    ((difference.0 + difference.1) / unit).abs()
}

pub(crate) fn sigmoid(x: f64) -> Pair {
    Pair(1.0, 0.0).divide(Pair(1.0, 0.0).add(exp(-x)))
}

pub(crate) fn tanh(x: f64) -> Pair {
    let double = expm1(2.0 * x);
    double.divide(double.add(Pair(2.0, 0.0)))
}

pub(crate) fn leaky_relu(z: f64) -> Pair {
    if z > 0.0 { Pair(z, 0.0) } else { Pair(z, 0.0).over(100.0) }
}

pub(crate) fn elu(z: f64) -> Pair {
    if z > 0.0 { Pair(z, 0.0) } else { expm1(z) }
}

pub(crate) fn selu(z: f64) -> Pair {
    let scale = Pair(1.050_700_987_355_480_5, 3.987_484_766_715_414_4e-17);
    let alpha = Pair(1.673_263_242_354_377_2, 1.065_722_254_771_753_1e-16);
    scale.mul(if z > 0.0 { Pair(z, 0.0) } else { alpha.mul(expm1(z)) })
}

pub(crate) fn silu(z: f64) -> Pair {
    Pair(z, 0.0).mul(sigmoid(z))
}

/// log(1 + e) by its series for a small e = exp z; otherwise from a logarithm with an error of some units, which is
/// corrected by the logarithm of (1 + exp z) · exp −guess.
pub(crate) fn softplus(z: f64) -> Pair {
    let e = exp(z.min(0.0));
    if z < -12.0 {
        let mut series = Pair(0.0, 0.0);
        for k in (1..=5).rev() {
            series = Pair(1.0, 0.0).over(f64::from(k)).add(series.mul(Pair(-1.0, 0.0))).mul(e);
        }
        return series;
    }
    let guess = z.max(0.0) + libm::log1p(libm::exp(-z.abs()));
    let rest = Pair(1.0, 0.0).add(exp(z)).mul(exp(-guess)).add(Pair(-1.0, 0.0));
    Pair(guess, 0.0).add(rest).add(rest.mul(rest).scale(-0.5))
}

/// exp −x² / 2, Φ(z) and the density's factor.
pub(crate) fn gelu(z: f64) -> Pair {
    let x = Pair(z.abs(), 0.0);
    let half_square = x.mul(x).scale(0.5);
    let density = exp(-half_square.0).mul(Pair(1.0, 0.0).add(Pair(-half_square.1, 0.0)));
    let density = density.divide(Pair(2.506_628_274_631_000_7, -1.832_857_998_045_916_7e-16)); // √(2π)
    let beyond = if z.abs() < 5.5 {
        // ½ − φ(x) · (x + x³ / 3 + x⁵ / (3 · 5) + …)
        let (mut term, mut sum) = (x, x);
        for k in 1..150 {
            term = term.mul(x).mul(x).over(f64::from(2 * k + 1));
            sum = sum.add(term);
        }
        Pair(0.5, 0.0).add(density.mul(sum).scale(-1.0))
    } else {
        // φ(x) / (x + 1 / (x + 2 / (x + 3 / …)))
        let mut fraction = x;
        for k in (1..=120).rev() {
            fraction = x.add(Pair(f64::from(k), 0.0).divide(fraction));
        }
        density.divide(fraction)
    };
    Pair(z, 0.0).mul(if z > 0.0 { Pair(1.0, 0.0).add(beyond.scale(-1.0)) } else { beyond })
}

/// sin z for |z| up to a million: z − m · π with π in four parts.
pub(crate) fn sin(z: f64) -> Pair {
    const PI: [f64; 4] =
        [std::f64::consts::PI, 1.224_646_799_147_353_2e-16, -2.994_769_809_718_339_7e-33, 1.112_454_220_863_365_3e-49];
    let m = (z / PI[0]).round();
    let mut r = Pair(z, 0.0);
    for part in PI {
        r = r.add(Pair(-m, 0.0).mul(Pair(part, 0.0)));
    }
    let (square, mut series) = (r.mul(r), Pair(0.0, 0.0));
    for k in (1..=16).rev() {
        series = Pair(-1.0, 0.0).add(series.scale(-1.0)).mul(square).over(f64::from(2 * k)).over(f64::from(2 * k + 1));
    }
    let sin = r.add(r.mul(series));
    if m % 2.0 == 0.0 { sin } else { sin.scale(-1.0) }
}
