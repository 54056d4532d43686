//! How long an answer may be kept, and by which tag it is known: of a range its columns and the files and open hours that it touches, of
//! anything else what it says.

use std::hash::{DefaultHasher, Hash, Hasher};

use barograph_flight::door::OpenedTicket;
use barograph_lake::{Span, Timestamp};
use http::{HeaderMap, HeaderValue, header};

/// When the next reading is due, as far as the newest tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freshness {
    pub(crate) now: Timestamp,
    /// The newest reading that the answer could have.
    pub(crate) newest: Option<Timestamp>,
    /// Interval at which readings come.
    pub(crate) every: Span,
}

impl Freshness {
    /// The header that says it.
    pub(crate) fn header(self) -> HeaderValue {
        let due = self.newest.map(|newest| newest + self.every);
        let left = due.map_or(Span::ZERO, |due| due - self.now).micros().min(self.every.micros());
        let seconds = left.div_euclid(Span::SECOND.micros());
        let text = match seconds {
            1.. => format!("max-age={seconds}"),
            _ => "no-cache".to_owned(),
        };
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-cache"))
    }
}

/// The tag of the answer to a range: another as soon as a column, or a file or an open hour that it touches, is another.
pub(crate) fn tag_of_range(opened: &OpenedTicket, variant: &str) -> Option<HeaderValue> {
    // That others' readings have changed is not told to those who may not see them.
    let (keys, time) = opened.range().filter(|_| !opened.is_restricted())?;
    let view = opened.view();
    let mut hasher = DefaultHasher::new();
    variant.hash(&mut hasher);
    for column in opened.schema().fields() {
        (column.name(), column.data_type()).hash(&mut hasher);
    }
    for file in view.snapshot.prune(keys, time) {
        file.path.to_string().hash(&mut hasher);
        file.rows.hash(&mut hasher);
    }
    for hour in view.tail.hours() {
        if hour.times().is_some_and(|(first, last)| time.touches(first, last)) {
            (hour.hour().start().as_micros(), hour.through().get(), hour.rows()).hash(&mut hasher);
        }
    }
    tag(hasher.finish())
}

/// The tag of an answer that is there.
pub(crate) fn tag_of_bytes(bytes: &[u8], variant: &str) -> Option<HeaderValue> {
    let mut hasher = DefaultHasher::new();
    (variant, bytes).hash(&mut hasher);
    tag(hasher.finish())
}

/// Weak: another coding of the same answer has the same tag.
fn tag(hash: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("W/\"{hash:016x}\"")).ok()
}

/// Whether a client has the answer of a tag.
pub(crate) fn is_match(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(tag) = tag.to_str().map(bare) else { return false };
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut given = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    given.any(|given| given.trim() == "*" || bare(given) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_until_the_next_reading_is_due() {
        let minute = Span::MINUTE;
        let now = Timestamp::from_millis(1_000_000_000);
        let header = |newest: Option<Timestamp>| Freshness { now, newest, every: minute }.header();
        assert_eq!(header(Some(now - Span::seconds(20))), "max-age=40");
        assert_eq!(header(Some(now - Span::seconds(61))), "no-cache");
        assert_eq!(header(Some(now + Span::DAY)), "max-age=60");
        assert_eq!(header(None), "no-cache");
    }

    #[test]
    fn tags_are_compared_weakly() {
        let tag = tag_of_bytes(b"20.1", "json").unwrap();
        assert_ne!(tag, tag_of_bytes(b"20.1", "csv").unwrap());
        let headers = |text: &str| {
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(text).unwrap())])
        };
        let text = tag.to_str().unwrap();
        assert!(is_match(&headers(text), &tag));
        assert!(is_match(&headers(&format!("\"a\", {}", text.trim_start_matches("W/"))), &tag));
        assert!(is_match(&headers("*"), &tag));
        assert!(!is_match(&headers("\"a\""), &tag));
        assert!(!is_match(&HeaderMap::new(), &tag));
    }
}
