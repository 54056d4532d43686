//! The climate: the conditions at a place and hour, before the sensors' noise.

use std::f64::consts::TAU;

use barograph_lake::Timestamp;
use barograph_lake::time::MICROS_PER_HOUR;

use super::noise::{mix, share, signed};
use crate::cities::City;

/// Travelling waves that make the fronts.
const FRONTS: usize = 7;
/// Standing waves that make the relief.
const RIDGES: usize = 4;
/// Height in metres over which pressure falls to 1/e.
const SCALE_HEIGHT: f32 = 8_434.0;
/// Fall of temperature with height, K/m.
const LAPSE: f32 = 0.0065;

/// The climate that a seed makes.
#[derive(Debug)]
pub(crate) struct Climate {
    fronts: [Wave; FRONTS],
    ridges: [Wave; RIDGES],
}

/// A wave over the unit sphere.
#[derive(Debug, Clone, Copy)]
struct Wave {
    k: [f32; 3],
    phase: f64,
    /// Radians an hour.
    speed: f64,
}

/// A station with its constant properties.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// GeoNames id.
    pub id: i32,
    place: [f32; 3],
    east: [f32; 3],
    north: [f32; 3],
    longitude: f32,
    /// Sine of the latitude.
    sine: f32,
    elevation: f32,
    /// Degrees between afternoon and night, halved.
    swing: f32,
}

/// The climate at one instant.
#[derive(Debug)]
pub(crate) struct Moment {
    fronts: [([f32; 3], f32); FRONTS],
    /// Hour of the day, UTC.
    hour: f32,
    /// Cosine of the season: 1 at the northern midsummer, -1 half a year later.
    season: f32,
}

/// The conditions that a perfect set of sensors would measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Conditions {
    /// °C.
    pub temperature: f32,
    /// % relative.
    pub humidity: f32,
    /// hPa at the station.
    pub pressure: f32,
    /// m/s.
    pub wind_speed: f32,
    /// Degrees from north the wind comes from; a change of it is the shorter way round.
    pub wind_direction: f32,
    /// mm an hour.
    pub rain: f32,
}

impl Climate {
    /// The climate that `seed` makes.
    pub(crate) fn new(seed: u64) -> Self {
        let wave = |kind: u64, i: usize, longest: f32, shortest: f32, speed: f64| {
            let draw = mix(seed ^ mix(kind << 32 | i as u64));
            let direction = [signed(draw, 0), signed(draw, 1), signed(draw, 2)];
            let length = dot(&direction, &direction).sqrt().max(0.1);
            let k = longest + (shortest - longest) * share(draw, 3);
            Wave {
                k: direction.map(|d| d / length * k),
                phase: f64::from(share(draw, 4)) * TAU,
                speed: speed * (0.6 + 0.8 * f64::from(share(draw, 5))),
            }
        };
        Self {
            // Waves of 2,500 to 6,500 km that pass in three to six days.
            fronts: std::array::from_fn(|i| wave(1, i, 6.0, 16.0, TAU / 96.0)),
            ridges: std::array::from_fn(|i| wave(2, i, 20.0, 70.0, 0.0)),
        }
    }

    /// The station of a city.
    pub(crate) fn site(&self, city: &City) -> Site {
        let (latitude, longitude) = (city.latitude.to_radians(), city.longitude.to_radians());
        let (sin_lat, cos_lat) = (latitude.sin() as f32, latitude.cos() as f32);
        let (sin_lon, cos_lon) = (longitude.sin() as f32, longitude.cos() as f32);
        let place = [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat];
        let relief: f32 =
            self.ridges.iter().map(|wave| (dot(&wave.k, &place) + wave.phase as f32).sin()).sum();
        let draw = mix(city.id as u64);
        let imagined = 15.0 + 90.0 * share(draw, 0) + 260.0 * relief.max(0.0).powi(2);
        Site {
            id: city.id,
            place,
            east: [-sin_lon, cos_lon, 0.0],
            north: [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            longitude: city.longitude as f32,
            sine: sin_lat,
            elevation: city.elevation.map_or(imagined, |height| height as f32),
            swing: 2.5 + 3.5 * share(draw, 1) + 0.6 * relief.max(0.0),
        }
    }

    /// The climate at an instant.
    pub(crate) fn at(&self, instant: Timestamp) -> Moment {
        let hours = instant.as_micros() as f64 / MICROS_PER_HOUR as f64;
        let midsummer = 172.0;
        let day = hours / 24.0 % 365.2425;
        Moment {
            fronts: self
                .fronts
                .map(|wave| (wave.k, ((wave.phase - wave.speed * hours) % TAU) as f32)),
            hour: (hours % 24.0) as f32,
            season: ((day - midsummer - 25.0) / 365.2425 * TAU).cos() as f32,
        }
    }
}

#[cfg(test)]
impl Site {
    /// Metres above the sea.
    pub(crate) fn elevation(&self) -> f32 {
        self.elevation
    }
}

impl Moment {
    /// The conditions at a station.
    pub(crate) fn conditions(&self, site: &Site) -> Conditions {
        let mut front = 0.0;
        let mut gradient = [0.0f32; 3];
        for (k, phase) in &self.fronts {
            let (sine, cosine) = (dot(k, &site.place) + phase).sin_cos();
            front += sine;
            for (sum, k) in gradient.iter_mut().zip(k) {
                *sum += k * cosine;
            }
        }
        // From about -1 (a deep low) to 1 (a strong high).
        let front = front / 3.5;
        let solar = (self.hour + site.longitude / 15.0 - 15.0) / 24.0 * TAU as f32;
        let (afternoon, latitude) = (solar.cos(), site.sine.abs());
        let cloud = (0.45 - 0.55 * front).clamp(0.0, 1.0);
        let swing = site.swing * (1.3 - 0.8 * cloud);
        let yearly = 28.0 - 42.0 * latitude * latitude;
        let seasonal = 17.0 * latitude * self.season * site.sine.signum();
        let temperature =
            yearly + seasonal + swing * afternoon - 3.5 * front * latitude - LAPSE * site.elevation;
        let humidity = (62.0 + 22.0 * cloud - 3.2 * swing * afternoon).clamp(8.0, 99.0);
        let sea_level = 1_013.0 + (4.0 + 16.0 * latitude) * front;
        let (along_east, along_north) = (dot(&gradient, &site.east), dot(&gradient, &site.north));
        // Air circles a low; friction turns it towards the low's centre.
        let turn = site.sine.signum();
        let (u, v) =
            (-along_north * turn - 0.4 * along_east, along_east * turn - 0.4 * along_north);
        let wind_speed = 1.2 + 0.42 * u.hypot(v) * (0.4 + latitude) + 0.8 * (afternoon + 1.0);
        Conditions {
            temperature,
            humidity,
            pressure: sea_level * (-site.elevation / SCALE_HEIGHT).exp(),
            wind_speed,
            wind_direction: (-u).atan2(-v).to_degrees().rem_euclid(360.0),
            rain: 60.0 * (cloud - 0.8).max(0.0),
        }
    }
}

impl Conditions {
    /// The change from these conditions to `later`.
    pub(crate) fn change_to(&self, later: &Self) -> Self {
        let turn = (later.wind_direction - self.wind_direction + 540.0).rem_euclid(360.0) - 180.0;
        Self {
            temperature: later.temperature - self.temperature,
            humidity: later.humidity - self.humidity,
            pressure: later.pressure - self.pressure,
            wind_speed: later.wind_speed - self.wind_speed,
            wind_direction: turn,
            rain: later.rain - self.rain,
        }
    }
}

fn dot(a: &[f32; 3], b: &[f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
