//! What a request accepts: the format of the answer by `format` or `Accept`, and its coding by `Accept-Encoding`.

use barograph_flight::{Error, Result};
use http::{HeaderMap, header};

use super::Query;

/// A form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A list of objects.
    Json,
    /// One object a line.
    Ndjson,
    Csv,
    /// A stream of Arrow IPC.
    Arrow,
    Parquet,
}

/// All formats with their names and media types; the first is that of who says nothing.
pub(crate) const FORMATS: [(Format, &str, &str); 5] = [
    (Format::Json, "json", "application/json"),
    (Format::Ndjson, "ndjson", "application/x-ndjson"),
    (Format::Csv, "csv", "text/csv"),
    (Format::Arrow, "arrow", "application/vnd.apache.arrow.stream"),
    (Format::Parquet, "parquet", "application/vnd.apache.parquet"),
];

/// Other names of media types that clients use.
const ALIASES: [(&str, Format); 3] = [
    ("application/ndjson", Format::Ndjson),
    ("application/jsonl", Format::Ndjson),
    ("application/x-parquet", Format::Parquet),
];

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        FORMATS.iter().find(|(of, ..)| *of == self).map_or("application/json", |of| of.2)
    }

    pub(crate) fn name(self) -> &'static str {
        FORMATS.iter().find(|(of, ..)| *of == self).map_or("json", |of| of.1)
    }
}

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// The format that a request asks for: by the parameter `format`, else by the header; JSON if it takes anything.
pub(crate) fn format_of(query: &Query, headers: &HeaderMap) -> Result<Format> {
    let names = || FORMATS.map(|(_, name, _)| name).join(", ");
    if let Some(text) = query.one("format")? {
        let format = FORMATS.iter().find(|(_, name, _)| *name == text);
        return format.map(|(format, ..)| *format).ok_or_else(|| {
            Error::request(format!("parameter \"format\" is {text:?}: there are {}", names()))
        });
    }
    let wanted = weighed(headers, header::ACCEPT);
    if wanted.is_empty() {
        return Ok(Format::Json);
    }
    let known = |name: &str| {
        let format = FORMATS.iter().find(|(.., media)| *media == name).map(|(format, ..)| *format);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, format)| *format);
        match name {
            "*/*" | "application/*" => Some(Format::Json),
            "text/*" => Some(Format::Csv),
            _ => format.or(alias),
        }
    };
    wanted.iter().find_map(|name| known(name)).ok_or_else(|| {
        Error::request(format!(
            "header accept is {:?}: this path answers {}; or say format=…, of {}",
            wanted.join(", "),
            FORMATS.map(|(.., media)| media).join(", "),
            names()
        ))
    })
}

/// The coding that a request prefers among those that there are.
pub(crate) fn coding_of(headers: &HeaderMap) -> Coding {
    let wanted = weighed(headers, header::ACCEPT_ENCODING);
    let known = wanted.iter().find_map(|name| match name.as_str() {
        "zstd" => Some(Coding::Zstd),
        "gzip" | "x-gzip" => Some(Coding::Gzip),
        "identity" => Some(Coding::Plain),
        _ => None,
    });
    known.unwrap_or(Coding::Plain)
}

/// Whether a request takes a coding, be it the one that it prefers or not.
pub(crate) fn takes(headers: &HeaderMap, coding: Coding) -> bool {
    let wanted = weighed(headers, header::ACCEPT_ENCODING);
    coding.name().is_none_or(|name| wanted.iter().any(|of| of == name))
}

/// The names in a header, the most wanted first; those that are not wanted are left out.
fn weighed(headers: &HeaderMap, name: header::HeaderName) -> Vec<String> {
    let values = headers.get_all(name);
    let texts = values.iter().filter_map(|value| value.to_str().ok());
    let mut weighed: Vec<(u32, String)> = texts
        .flat_map(|text| text.split(','))
        .filter_map(|part| {
            let mut parts = part.split(';').map(str::trim);
            let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(1.0, |weight| weight.parse::<f32>().unwrap_or(0.0));
            (weight > 0.0).then_some(((weight.min(1.0) * 1_000.0) as u32, name))
        })
        .collect();
    weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    weighed.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_format_is_the_most_wanted_one_that_there_is() {
        let format = |accept| format_of(&Query::default(), &headers(header::ACCEPT, accept));
        for (accept, expected) in [
            ("*/*", Format::Json),
            ("text/html, text/csv;q=0.5, */*;q=0.1", Format::Csv),
            ("application/vnd.apache.arrow.stream", Format::Arrow),
            ("application/json;q=0.4,application/x-ndjson;q=0.6", Format::Ndjson),
            ("text/csv;q=0, application/vnd.apache.parquet;q=0.001", Format::Parquet),
        ] {
            assert_eq!(format(accept).unwrap(), expected, "{accept}");
        }
        assert!(format("image/png").unwrap_err().to_string().contains("image/png"));
        assert_eq!(format_of(&Query::default(), &HeaderMap::new()).unwrap(), Format::Json);
    }

    #[test]
    fn the_coding_is_the_most_wanted_one_that_there_is() {
        let coding = |accept| coding_of(&headers(header::ACCEPT_ENCODING, accept));
        assert_eq!(coding("br, gzip, deflate"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0.5, zstd"), Coding::Zstd);
        assert_eq!(coding("identity, gzip;q=0.5"), Coding::Plain);
        assert_eq!(coding("br"), Coding::Plain);
        assert_eq!(coding_of(&HeaderMap::new()), Coding::Plain);
    }
}
