//! A form: what a station says, by the names of its protocol, without knowing any table.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Names of a form that are read; no station has so many sensors.
const NAMES_MAX: usize = 1_024;
/// What stations send of a sensor that does not answer.
const SILENT: f64 = -9999.0;
/// Names whose values are secrets, which are not kept.
const SECRETS: [&str; 2] = ["password", "token"];

/// A form. Names are those of the protocol, whose case some firmware does not keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Reads a form as URLs and bodies have it.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).take(NAMES_MAX).collect())
    }

    /// The value of a name, the first if there are several.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let found = pairs.find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// What a sensor says; none if it is silent.
    pub(super) fn sensor(&self, name: &str) -> Option<&str> {
        self.get(name)
            .filter(|text| !text.is_empty() && !text.parse::<f64>().is_ok_and(|of| of == SILENT))
    }

    /// As dead letters keep it: without secrets.
    pub(super) fn kept(&self) -> String {
        let is_open = |name: &str| !SECRETS.iter().any(|of| name.eq_ignore_ascii_case(of));
        let pairs = self.0.iter().filter(|(name, _)| is_open(name));
        let pairs = pairs.map(|(name, value)| (name.to_string(), Value::from(value.as_ref())));
        // Below a name of its own, so that a letter is never read as a row.
        let form = Value::Object(pairs.collect());
        Value::Object(Map::from_iter([("form".to_owned(), form)])).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_whatever_the_case_of_their_names() {
        let form = Form::read(b"ID=K1&tempf=68.0&TEMPF=1&dateutc=2026-01-01+10%3A32%3A35&UV=&x");
        assert_eq!(form.get("id"), Some("K1"));
        assert_eq!(form.get("tempf"), Some("68.0"));
        assert_eq!(form.get("dateutc"), Some("2026-01-01 10:32:35"));
        assert_eq!((form.get("uv"), form.get("x"), form.get("y")), (Some(""), Some(""), None));
    }

    #[test]
    fn silent_sensors_say_nothing() {
        let form = Form::read(b"a=-9999&b=-9999.0&c=&d=-999.9&e=nan");
        assert_eq!(["a", "b", "c"].map(|name| form.sensor(name)), [None; 3]);
        assert_eq!((form.sensor("d"), form.sensor("e")), (Some("-999.9"), Some("nan")));
    }

    #[test]
    fn secrets_are_not_kept() {
        let kept = Form::read(b"ID=K1&PASSWORD=hidden&Token=hidden&$types=x").kept();
        assert_eq!(kept, r#"{"form":{"ID":"K1","$types":"x"}}"#);
    }
}
