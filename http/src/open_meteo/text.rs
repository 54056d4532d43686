//! The answer as text: in JSON as Open-Meteo writes it, or in CSV.

use std::fmt::Write as _;

use chrono::DateTime;
use serde_json::Value;

use super::request::{Location, Request};
use super::section::Section;
use super::variables::{Step, Variable};

/// What was found at a place, section by section.
pub(super) struct Found {
    pub(super) location: Location,
    /// Index of the place in the request.
    pub(super) index: usize,
    /// In the order of the request.
    pub(super) sections: Vec<Section>,
    pub(super) took_ms: f64,
}

impl Found {
    /// The answer of this place in JSON: what differs from one time to the next, and the rest.
    pub(super) fn json(&self, request: &Request) -> (String, String) {
        let Location { place, zone } = &self.location;
        let head = format!(
            "{{\"latitude\":{},\"longitude\":{},\"generationtime_ms\":{}",
            place.latitude, place.longitude, self.took_ms
        );
        let mut text = format!(
            ",\"utc_offset_seconds\":{},\"timezone\":{},\"timezone_abbreviation\":{}",
            zone.offset,
            quoted(zone.name),
            quoted(&zone.abbreviation())
        );
        if let Some(elevation) = place.elevation {
            let _ = write!(text, ",\"elevation\":{elevation:?}");
        }
        if self.index > 0 {
            let _ = write!(text, ",\"location_id\":{}", self.index);
        }
        for ((step, variables), section) in request.sections.iter().zip(&self.sections) {
            self.json_section(request, *step, variables, section, &mut text);
        }
        text.push('}');
        (head, text)
    }

    fn json_section(
        &self,
        request: &Request,
        step: Step,
        variables: &[Variable],
        section: &Section,
        text: &mut String,
    ) {
        let name = step.name();
        let times = if request.is_unix { "unixtime" } else { "iso8601" };
        let _ = write!(text, ",\"{name}_units\":{{\"time\":\"{times}\"");
        let is_current = step == Step::Current;
        if is_current {
            text.push_str(",\"interval\":\"seconds\"");
        }
        for variable in variables {
            let _ = write!(text, ",{}:{}", quoted(&variable.name), quoted(variable.unit.name));
        }
        let _ = write!(text, "}},\"{name}\":{{\"time\":");
        let (open, close) = if is_current { ("", "") } else { ("[", "]") };
        text.push_str(open);
        for at in 0..section.count {
            text.push_str(if at == 0 { "" } else { "," });
            self.time(request, step, section, at, "\"", text);
        }
        text.push_str(close);
        if is_current {
            let _ = write!(text, ",\"interval\":{}", section.step);
        }
        for (variable, values) in variables.iter().zip(&section.values) {
            let _ = write!(text, ",{}:{open}", quoted(&variable.name));
            for (at, value) in values.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                variable.unit.write(*value, "null", text);
            }
            text.push_str(close);
        }
        text.push('}');
    }

    /// The first lines of the answer in CSV, for all places.
    pub(super) fn csv_head(request: &Request) -> String {
        let several = request.places.len() > 1;
        let mut text = String::from(if several { "location_id," } else { "" });
        text.push_str(
            "latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation\n",
        );
        for (index, Location { place, zone }) in request.places.iter().enumerate() {
            if several {
                let _ = write!(text, "{index},");
            }
            let elevation = place.elevation.map_or("NaN".to_owned(), |of| format!("{of:?}"));
            let _ = writeln!(
                text,
                "{},{},{elevation},{},{},{}",
                place.latitude,
                place.longitude,
                zone.offset,
                zone.name,
                zone.abbreviation()
            );
        }
        text
    }

    /// The lines of a section in CSV, with its head before the first place.
    pub(super) fn csv_section(&self, request: &Request, at: usize, text: &mut String) {
        let several = request.places.len() > 1;
        let (Some((step, variables)), Some(section)) =
            (request.sections.get(at), self.sections.get(at))
        else {
            return;
        };
        if self.index == 0 {
            text.push_str(if several { "\nlocation_id,time" } else { "\ntime" });
            for variable in variables {
                let _ = write!(text, ",{} ({})", variable.name, variable.unit.name);
            }
            text.push('\n');
        }
        for row in 0..section.count {
            if several {
                let _ = write!(text, "{},", self.index);
            }
            self.time(request, *step, section, row, "", text);
            for (variable, values) in variables.iter().zip(&section.values) {
                text.push(',');
                variable.unit.write(values.get(row).copied().flatten(), "NaN", text);
            }
            text.push('\n');
        }
    }

    /// A time of a section: local in ISO 8601, or seconds since the Unix epoch.
    fn time(
        &self,
        request: &Request,
        step: Step,
        section: &Section,
        at: usize,
        quote: &str,
        text: &mut String,
    ) {
        let local = section.from + section.step * at as i64;
        if request.is_unix {
            let _ = write!(text, "{}", local - self.location.zone.offset);
            return;
        }
        let format = if step == Step::Daily { "%Y-%m-%d" } else { "%Y-%m-%dT%H:%M" };
        match DateTime::from_timestamp(local, 0) {
            Some(time) => {
                let _ = write!(text, "{quote}{}{quote}", time.format(format));
            }
            None => {
                let _ = write!(text, "{local}");
            }
        }
    }
}

fn quoted(text: &str) -> Value {
    Value::from(text)
}
