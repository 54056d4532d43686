//! The header `traceparent` (W3C Trace Context): the trace of a caller, its span, and whether it is sampled.

/// Length of the header in version 00.
const LENGTH: usize = 55;

/// What a caller says of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traceparent {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    pub(super) is_sampled: bool,
}

impl Traceparent {
    /// Reads the header; `None` if it is not one, as if it were not there. Later versions may say more behind.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let head = header.get(..LENGTH)?;
        let rest = header.get(LENGTH..)?;
        let mut parts = head.split('-');
        let [version] = bytes::<1>(parts.next()?)?;
        let (trace, span) = (bytes::<16>(parts.next()?)?, bytes::<8>(parts.next()?)?);
        let [flags] = bytes::<1>(parts.next()?)?;
        let fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let is_valid = fits && parts.next().is_none() && trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace, span, is_sampled: flags & 1 == 1 })
    }
}

/// Bytes in lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if text.len() != 2 * N || !is_lower {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_as_the_standard_says() {
        let parsed = Traceparent::parse(OWN).unwrap();
        assert_eq!(parsed.trace[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(parsed.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parsed.is_sampled);
        assert!(!Traceparent::parse(&OWN.replace("-01", "-02")).unwrap().is_sampled);
        Traceparent::parse(&format!("cc{}-more", &OWN[2..])).unwrap();
        for wrong in [
            "",
            "00",
            &OWN[..54],
            &OWN.to_uppercase(),
            &format!("{OWN}-more"),
            &format!("ff{}", &OWN[2..]),
            &format!("cc{}more", &OWN[2..]),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-0f067aa0ba902b7-01",
        ] {
            assert_eq!(Traceparent::parse(wrong), None, "{wrong:?}");
        }
    }
}
