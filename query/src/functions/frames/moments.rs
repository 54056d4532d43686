//! Moments of pairs of numbers: counts, means and sums of products of deviations, which are joined without loss.
//! Variance, covariance, correlation and regression are computed from them.
//!
//! Source: T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
//! Variances, 1979, <http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf>.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Float64Type;
use datafusion::common::{Result, internal_err};
use datafusion::scalar::ScalarValue;

use super::sliding::Fold;

/// A statistic that is computed from moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    VarPop,
    VarSamp,
    StddevPop,
    Stddev,
    CovarPop,
    CovarSamp,
    Corr,
    Slope,
    Intercept,
    Count,
    R2,
    MeanX,
    MeanY,
    Sxx,
    Syy,
    Sxy,
}

impl Moment {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "var_pop" => Self::VarPop,
            "var" => Self::VarSamp,
            "stddev_pop" => Self::StddevPop,
            "stddev" => Self::Stddev,
            "covar_pop" => Self::CovarPop,
            "covar_samp" => Self::CovarSamp,
            "corr" => Self::Corr,
            "regr_slope" => Self::Slope,
            "regr_intercept" => Self::Intercept,
            "regr_count" => Self::Count,
            "regr_r2" => Self::R2,
            "regr_avgx" => Self::MeanX,
            "regr_avgy" => Self::MeanY,
            "regr_sxx" => Self::Sxx,
            "regr_syy" => Self::Syy,
            "regr_sxy" => Self::Sxy,
            _ => return None,
        })
    }
}

/// Moments of pairs; a single column is its own partner. The first argument is `y`.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::functions) struct Moments {
    pub(in crate::functions) count: u64,
    pub(in crate::functions) mean_y: f64,
    pub(in crate::functions) mean_x: f64,
    pub(in crate::functions) yy: f64,
    pub(in crate::functions) xx: f64,
    pub(in crate::functions) xy: f64,
}

impl Moments {
    #[inline]
    pub(in crate::functions) fn of(y: f64, x: f64) -> Self {
        // What is not finite has no distance from its mean.
        let deviation = |value: f64| if value.is_finite() { 0.0 } else { f64::NAN };
        let (dy, dx) = (deviation(y), deviation(x));
        Self { count: 1, mean_y: y, mean_x: x, yy: dy * dy, xx: dx * dx, xy: dy * dx }
    }

    #[inline]
    pub(in crate::functions) fn joined(&self, other: &Self) -> Self {
        if self.count == 0 {
            return *other;
        }
        if other.count == 0 {
            return *self;
        }
        let count = self.count + other.count;
        let (mine, its) = (self.count as f64 / count as f64, other.count as f64 / count as f64);
        let (dy, dx) = (other.mean_y - self.mean_y, other.mean_x - self.mean_x);
        let weight = self.count as f64 * its;
        Self {
            count,
            mean_y: mean(self.mean_y, mine, other.mean_y, its, dy),
            mean_x: mean(self.mean_x, mine, other.mean_x, its, dx),
            yy: self.yy + other.yy + dy * dy * weight,
            xx: self.xx + other.xx + dx * dx * weight,
            xy: self.xy + other.xy + dy * dx * weight,
        }
    }

    /// Null for fewer than two pairs, and where one of both does not vary.
    pub(in crate::functions) fn correlation(&self) -> Option<f64> {
        let known = self.count > 1 && self.xx != 0.0 && self.yy != 0.0;
        // The product of the roots: that of the sums may leave the range of doubles.
        known.then(|| self.xy / self.xx.sqrt() / self.yy.sqrt())
    }
}

/// The mean of two groups whose means are `delta` apart. The first form does not move where they are equal.
#[inline]
fn mean(a: f64, weight_a: f64, b: f64, weight_b: f64, delta: f64) -> f64 {
    if delta.is_finite() { a + delta * weight_b } else { a * weight_a + b * weight_b }
}

impl Fold for Moment {
    type State = Moments;

    fn nothing(&self) -> Moments {
        Moments::default()
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Moments)) -> Result<()> {
        let Some(y) = columns.first().and_then(|y| y.as_primitive_opt::<Float64Type>()) else {
            return internal_err!("{self:?} got a column that is not double");
        };
        let x = columns.get(1).map_or(Some(y), |x| x.as_primitive_opt::<Float64Type>());
        let Some(x) = x else { return internal_err!("{self:?} got a column that is not double") };
        for pair in y.iter().zip(x) {
            take(match pair {
                (Some(y), Some(x)) => Moments::of(y, x),
                _ => Moments::default(),
            });
        }
        Ok(())
    }

    fn join(&self, earlier: &Moments, later: &Moments) -> Moments {
        earlier.joined(later)
    }

    fn value(&self, of: &Moments) -> Result<ScalarValue> {
        let known = of.count > 0;
        let several = of.count > 1;
        let (all, but_one) = (of.count as f64, of.count.saturating_sub(1) as f64);
        let slope = of.xy / of.xx;
        let line = several && of.xx != 0.0;
        let (given, value) = match self {
            Self::Count => return Ok(ScalarValue::UInt64(Some(of.count))),
            Self::VarPop => (known, of.yy / all),
            Self::VarSamp => (several, of.yy / but_one),
            Self::StddevPop => (known, (of.yy / all).sqrt()),
            Self::Stddev => (several, (of.yy / but_one).sqrt()),
            Self::CovarPop => (known, of.xy / all),
            Self::CovarSamp => (several, of.xy / but_one),
            Self::Corr => return Ok(ScalarValue::Float64(of.correlation())),
            Self::Slope => (line, slope),
            Self::Intercept => (line, of.mean_y - slope * of.mean_x),
            Self::R2 => (line && of.yy != 0.0, (of.xy / of.xx) * (of.xy / of.yy)),
            Self::MeanX => (known, of.mean_x),
            Self::MeanY => (known, of.mean_y),
            Self::Sxx => (known, of.xx),
            Self::Syy => (known, of.yy),
            Self::Sxy => (known, of.xy),
        };
        Ok(ScalarValue::Float64(given.then_some(value)))
    }
}
