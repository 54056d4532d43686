//! The parameters of a path: those that it has are declared with it, and any other is refused with its name.

use barograph_flight::{Error, Result};

/// A parameter, as it is declared: by this it is read, documented and listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// An example, which shows its form.
    pub(crate) example: &'static str,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
}

impl Parameter {
    pub(crate) const fn new(
        name: &'static str,
        example: &'static str,
        about: &'static str,
    ) -> Self {
        Self { name, example, about, required: false }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// The parameters that a request has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a URL. All of its names have to be `known`.
    pub(crate) fn read(query: Option<&str>, known: &[Parameter]) -> Result<Self> {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs: Vec<_> = pairs.into_owned().collect();
        for (name, _) in &pairs {
            if !known.iter().any(|parameter| parameter.name == name) {
                let names: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
                let names = match names.is_empty() {
                    true => "it has none".to_owned(),
                    false => format!("there are {}", names.join(", ")),
                };
                return Err(Error::request(format!(
                    "this path has no parameter {name:?}: {names}"
                )));
            }
        }
        Ok(Self(pairs))
    }

    /// Reads the query of a URL whose names are not known.
    pub(crate) fn read_any(query: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The one value of a parameter; none if it is absent or empty.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Error::request(format!("parameter {name:?} is given twice: give it once")));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// All values of a parameter as they were given.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The values of a parameter that takes several, separated by commas or given again; none if it is absent.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let mut values = self.all(name).peekable();
        values.peek()?;
        let parts = values.flat_map(|value| value.split(','));
        Some(parts.map(str::trim).filter(|part| !part.is_empty()).collect())
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let number = text.trim().parse();
        number.map(Some).map_err(|_| {
            Error::request(format!("parameter {name:?} is {text:?}: write a whole number"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KNOWN: [Parameter; 2] = [Parameter::new("keys", "1", ""), Parameter::new("q", "1", "")];

    #[test]
    fn values_are_lists_or_one() {
        let query = Query::read(Some("keys=1,%202,&keys=3&q=a%2Bb+c"), &KNOWN).unwrap();
        assert_eq!(query.list("keys").unwrap(), ["1", "2", "3"]);
        assert_eq!(query.one("q").unwrap(), Some("a+b c"));
        assert_eq!(query.list("from"), None);
        assert!(query.one("keys").unwrap_err().to_string().contains("twice"));
        assert!(query.number("q").unwrap_err().to_string().contains("\"a+b c\""));
    }

    #[test]
    fn an_unknown_name_is_refused_with_those_there_are() {
        let error = Query::read(Some("kees=1"), &KNOWN).unwrap_err().to_string();
        assert!(error.contains("\"kees\"") && error.contains("keys, q"), "{error}");
        let error = Query::read(Some("a=1"), &[]).unwrap_err().to_string();
        assert!(error.contains("it has none"), "{error}");
    }
}
