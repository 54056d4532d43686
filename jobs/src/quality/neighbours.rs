//! The neighbours of a site: the median of the hour's means of the nearest sites, each reduced to the height of that
//! site.

use std::collections::HashMap;

use barograph_lake::Key;

use super::{Checks, Height, Site};

/// Mean radius of the Earth, km.
const EARTH_KM: f64 = 6_371.0;
const KM_PER_DEGREE: f64 = EARTH_KM * std::f64::consts::PI / 180.0;

/// The nearest neighbours of every site.
#[derive(Debug)]
pub(super) struct Neighbours {
    sites: Vec<Site>,
    /// Of each site the places of its neighbours in `sites`, nearest first.
    neighbours: HashMap<Key, (usize, Vec<usize>)>,
}

impl Neighbours {
    pub(super) fn new(mut sites: Vec<Site>, checks: &Checks) -> Self {
        sites.sort_by(|a, b| a.latitude.total_cmp(&b.latitude));
        let reach = checks.near_km / KM_PER_DEGREE;
        let mut neighbours = HashMap::with_capacity(sites.len());
        for (at, site) in sites.iter().enumerate() {
            let first = sites.partition_point(|other| other.latitude < site.latitude - reach);
            let band = sites.iter().enumerate().skip(first);
            let band = band.take_while(|(_, other)| other.latitude <= site.latitude + reach);
            let others = band.filter(|(other, _)| *other != at);
            let mut near: Vec<(f64, usize)> = others
                .map(|(other, there)| (distance(site, there), other))
                .filter(|(km, _)| *km <= checks.near_km)
                .collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.truncate(checks.near_most);
            let near = near.into_iter().map(|(_, other)| other).collect();
            neighbours.insert(site.key, (at, near));
        }
        Self { sites, neighbours }
    }

    /// What neighbours of `key` say of a quantity whose means are given; `None` if too few say something.
    pub(super) fn estimate(
        &self,
        key: Key,
        height: Height,
        least: usize,
        mean: impl Fn(Key) -> Option<f64>,
    ) -> Option<f64> {
        let (at, neighbours) = self.neighbours.get(&key)?;
        let site = self.sites.get(*at)?;
        let estimates = neighbours.iter().filter_map(|&other| {
            let other = self.sites.get(other)?;
            reduced(mean(other.key)?, other, site, height)
        });
        let mut estimates: Vec<f64> = estimates.collect();
        if estimates.len() < least.max(1) {
            return None;
        }
        estimates.sort_by(f64::total_cmp);
        let middle = estimates.len() / 2;
        match estimates.len() % 2 {
            1 => estimates.get(middle).copied(),
            _ => Some((estimates.get(middle - 1)? + estimates.get(middle)?) / 2.0),
        }
    }
}

/// What is measured at `from`, as it would be at the height of `to`; `None` if that cannot be told.
fn reduced(value: f64, from: &Site, to: &Site, height: Height) -> Option<f64> {
    let up = to.elevation.zip(from.elevation).map(|(to, from)| to - from);
    let none_known = to.elevation.is_none() && from.elevation.is_none();
    match (height, up) {
        (Height::Level, _) => Some(value),
        (Height::Falls(by), Some(up)) => Some(value - by * up),
        (Height::Falls(_), None) => none_known.then_some(value),
        (Height::Decays(over), up) => Some(value * (-up? / over).exp()),
    }
}

/// Along the great circle, km.
fn distance(a: &Site, b: &Site) -> f64 {
    let half = |a: f64, b: f64| ((a - b).to_radians() / 2.0).sin().powi(2);
    let across = a.latitude.to_radians().cos() * b.latitude.to_radians().cos();
    let chord = half(a.latitude, b.latitude) + across * half(a.longitude, b.longitude);
    2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
}
