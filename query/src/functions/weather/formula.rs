//! Weather formulas: pure functions of numbers, in the units of their names.
//!
//! They are written without branches where that costs nothing, so that a loop over columns is compiled to vector
//! instructions. NaN in gives NaN out.

/// Degrees Celsius in degrees Fahrenheit.
#[inline(always)]
fn fahrenheit(celsius: f64) -> f64 {
    celsius * 1.8 + 32.0
}

/// The nine-term regression of L. P. Rothfusz over R. G. Steadman's table: temperature in °F,
/// relative humidity in %, result in °F.
///
/// Source: L. P. Rothfusz, The Heat Index "Equation", NWS Southern Region SR 90-23, 1990.
#[inline(always)]
pub(crate) fn rothfusz(t: f64, rh: f64) -> f64 {
    -42.379 + 2.049_015_23 * t + 10.143_331_27 * rh
        - 0.224_755_41 * t * rh
        - 6.837_83e-3 * t * t
        - 5.481_717e-2 * rh * rh
        + 1.228_74e-3 * t * t * rh
        + 8.528_2e-4 * t * rh * rh
        - 1.99e-6 * t * t * rh * rh
}

/// Heat index of the US National Weather Service: temperature in °C, relative humidity in %, result in
/// °C.
///
/// Steadman's simple formula stands where it gives less than 80 °F. Above it the regression stands,
/// less an adjustment in dry air and with one added in damp air.
///
/// Source: NWS Weather Prediction Center, The Heat Index Equation,
/// <https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml>. The mean with the temperature that
/// the page speaks of is the factor 0.5 of its simple formula, as in its calculator.
#[inline(always)]
pub(crate) fn heat_index(celsius: f64, rh: f64) -> f64 {
    let t = fahrenheit(celsius);
    let simple = 0.5 * (t + 61.0 + (t - 68.0) * 1.2 + rh * 0.094);
    let dry = (13.0 - rh) / 4.0 * ((17.0 - (t - 95.0).abs()).max(0.0) / 17.0).sqrt();
    let damp = (rh - 85.0) / 10.0 * ((87.0 - t) / 5.0);
    let dry = if (rh < 13.0) & (80.0..=112.0).contains(&t) { dry } else { 0.0 };
    let damp = if (rh > 85.0) & (80.0..=87.0).contains(&t) { damp } else { 0.0 };
    let full = rothfusz(t, rh) - dry + damp;
    let index = if simple < 80.0 { simple } else { full };
    (index - 32.0) / 1.8
}

/// Dew point: temperature in °C, relative humidity in %, result in °C.
///
/// Magnus formula over water with the constants of O. A. Alduchov and R. E. Eskridge, Improved Magnus
/// Form Approximation of Saturation Vapor Pressure, J. Appl. Meteor. 35 (1996), 601-609: within 0.4 %
/// of the vapour pressure for -40…50 °C.
#[inline(always)]
pub(crate) fn dew_point(celsius: f64, rh: f64) -> f64 {
    const A: f64 = 17.625;
    const B: f64 = 243.04;
    let gamma = (rh / 100.0).ln() + A * celsius / (B + celsius);
    B * gamma / (A - gamma)
}

/// There is no dew point without water in the air.
#[inline(always)]
pub(crate) fn dew_point_is_defined(_celsius: f64, rh: f64) -> bool {
    rh.is_nan() | (rh > 0.0)
}

/// Wind chill: temperature in °C, wind at 10 m in m/s, result in °C.
///
/// Source: Joint Action Group for Temperature Indices (JAG/TI), Report on Wind Chill Temperature and
/// Extreme Heat Indices, OFCM, 2001.
#[inline(always)]
pub(crate) fn wind_chill(celsius: f64, wind: f64) -> f64 {
    let v = (wind * 3.6).powf(0.16);
    13.12 + 0.6215 * celsius - 11.37 * v + 0.3965 * celsius * v
}

/// The formula was fitted for air of at most 10 °C and wind of more than 4.8 km/h.
#[inline(always)]
pub(crate) fn wind_chill_is_defined(celsius: f64, wind: f64) -> bool {
    let warm = celsius > 10.0;
    let calm = wind * 3.6 <= 4.8;
    !(warm | calm)
}

/// Apparent temperature in the shade: temperature in °C, relative humidity in %, wind at 10 m in m/s,
/// result in °C.
///
/// Source: R. G. Steadman, Norms of apparent temperature in Australia, Aust. Met. Mag. 43 (1994),
/// 1-16, as the Australian Bureau of Meteorology applies it (version without radiation),
/// <http://www.bom.gov.au/info/thermal_stress/>.
#[inline(always)]
pub(crate) fn apparent_temperature(celsius: f64, rh: f64, wind: f64) -> f64 {
    let vapour_pressure = rh / 100.0 * 6.105 * (17.27 * celsius / (237.7 + celsius)).exp();
    celsius + 0.33 * vapour_pressure - 0.70 * wind - 4.00
}

/// Pressure reduced to sea level: pressure in hPa at the station, its elevation in m, its temperature
/// in °C, result in hPa.
///
/// Hydrostatic equation for air that is 6.5 K/km warmer on its way down to the sea, with the constants
/// of the U.S. Standard Atmosphere, 1976 (NOAA-S/T 76-1562), equation 33a.
#[inline(always)]
pub(crate) fn sea_level_pressure(pressure: f64, elevation: f64, celsius: f64) -> f64 {
    /// K/m.
    const LAPSE: f64 = 0.0065;
    /// g₀ M / (R L).
    const EXPONENT: f64 = 9.806_65 * 0.028_964_4 / (8.314_32 * LAPSE);
    pressure * (1.0 + LAPSE * elevation / (celsius + 273.15)).powf(EXPONENT)
}

/// Eastward part of a wind of `speed` that blows from `direction` degrees, in the unit of `speed`.
#[inline(always)]
pub(crate) fn wind_u(speed: f64, direction: f64) -> f64 {
    -speed * direction.to_radians().sin()
}

/// Northward part of a wind of `speed` that blows from `direction` degrees, in the unit of `speed`.
#[inline(always)]
pub(crate) fn wind_v(speed: f64, direction: f64) -> f64 {
    -speed * direction.to_radians().cos()
}
