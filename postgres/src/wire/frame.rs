//! Frames: where a message ends, and whether its parts are where its kind has them. `pgwire` reads a message by its layout
//! and takes for granted that it is whole; what it is given is.

use bytes::BytesMut;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{GssEncRequest, SslRequest, Startup};
use pgwire::messages::{DecodeContext, Message, PgWireFrontendMessage, ProtocolVersion};

use crate::failure::{Failure, PROTOCOL, Result};

/// Bytes of what a connection begins with, as PostgreSQL allows.
const FIRST_BYTES_MAX: usize = 10_000;
/// Bytes of a length.
const LENGTH: usize = 4;
/// Bytes of a kind and a length.
const HEAD: usize = 1 + LENGTH;

/// What a connection begins with.
#[derive(Debug)]
pub(crate) enum First {
    /// It wants to be encrypted.
    Tls,
    /// It wants to be encrypted by Kerberos.
    Gss,
    /// It wants a statement of another connection to be ended.
    Cancel(CancelRequest),
    /// It says who it is.
    Startup(Startup),
}

fn context() -> DecodeContext {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

/// The first message in `buffer`, before the startup is done; `None` if more of it has to come.
pub(crate) fn first(buffer: &mut BytesMut) -> Result<Option<First>> {
    let Some(length) = length(buffer) else { return Ok(None) };
    if !(2 * LENGTH..=FIRST_BYTES_MAX).contains(&length) {
        return Err(malformed("a message to begin with has 8 to 10000 bytes"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut whole = buffer.split_to(length);
    if SslRequest::is_ssl_request_packet(&whole) {
        return Ok(Some(First::Tls));
    }
    if GssEncRequest::is_gss_enc_request_packet(&whole) {
        return Ok(Some(First::Gss));
    }
    if CancelRequest::is_cancel_request_packet(&whole) {
        let cancel = CancelRequest::decode(&mut whole, &context());
        return match cancel {
            Ok(Some(cancel)) => Ok(Some(First::Cancel(cancel))),
            _ => Err(malformed("it asks for a cancellation without a secret")),
        };
    }
    match Startup::decode(&mut whole, &context()) {
        Ok(Some(startup)) => Ok(Some(First::Startup(startup))),
        _ => Err(malformed("this port speaks version 3 of the protocol of PostgreSQL")),
    }
}

/// The first message in `buffer`, of at most `bytes_max` bytes; `None` if more of it has to come.
pub(crate) fn message(
    buffer: &mut BytesMut,
    bytes_max: usize,
) -> Result<Option<PgWireFrontendMessage>> {
    let (Some(&kind), Some(length)) = (buffer.first(), buffer.get(1..).and_then(length)) else {
        return Ok(None);
    };
    if length < LENGTH {
        return Err(malformed("a message is shorter than its own length"));
    }
    if length > bytes_max {
        return Err(Failure::fatal(
            "54000",
            format!(
                "a message has {length} bytes, at most {bytes_max} are read: send less at a time, or raise postgres.message_bytes_max"
            ),
        ));
    }
    if buffer.len() <= length {
        return Ok(None);
    }
    let mut whole = buffer.split_to(1 + length);
    check(kind, whole.get(HEAD..).unwrap_or_default())?;
    match PgWireFrontendMessage::decode(&mut whole, &context()) {
        Ok(Some(message)) => Ok(Some(message)),
        _ => Err(malformed("a message is not laid out as its kind says")),
    }
}

fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<LENGTH>()?;
    // What is negative is too long.
    Some(usize::try_from(i32::from_be_bytes(*length)).unwrap_or(usize::MAX))
}

fn malformed(why: &str) -> Failure {
    Failure::fatal(PROTOCOL, format!("the client sent what is not of the protocol: {why}"))
}

/// Whether a body is laid out as its kind says.
fn check(kind: u8, body: &[u8]) -> Result<()> {
    let mut parts = Parts { rest: body, is_text: true };
    let is_whole = match kind {
        b'Q' => parts.text(),
        b'P' => parts.text() && parts.text() && parts.items(4),
        b'B' => parts.text() && parts.text() && parts.items(2) && parts.values() && parts.items(2),
        b'C' | b'D' => parts.skip(1) && parts.text(),
        b'E' => parts.text() && parts.skip(4),
        b'H' | b'S' | b'X' => true,
        // Passwords, and what belongs to COPY: none of their parts is read here.
        b'p' => body.last() == Some(&0) && parts.text(),
        b'c' => true,
        b'd' | b'f' => parts.skip(body.len()),
        _ => {
            return Err(malformed(&format!("there is no kind {:?} of messages", char::from(kind))));
        }
    };
    if !parts.is_text {
        return Err(Failure::fatal(
            "22021",
            "a text of the client is not UTF-8: set client_encoding to UTF8",
        ));
    }
    match is_whole && parts.rest.is_empty() {
        true => Ok(()),
        false => Err(malformed(&format!(
            "a message of the kind {:?} is cut short, or too long",
            char::from(kind)
        ))),
    }
}

/// The parts of a body, one after the other.
struct Parts<'a> {
    rest: &'a [u8],
    is_text: bool,
}

impl Parts<'_> {
    fn skip(&mut self, count: usize) -> bool {
        match self.rest.split_at_checked(count) {
            Some((_, rest)) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A text and the zero behind it.
    fn text(&mut self) -> bool {
        let Some(end) = self.rest.iter().position(|&byte| byte == 0) else { return false };
        self.is_text &= self.rest.get(..end).is_some_and(|text| std::str::from_utf8(text).is_ok());
        self.skip(end + 1)
    }

    fn count(&mut self) -> Option<usize> {
        let count = self.rest.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))?;
        self.skip(2).then_some(usize::from(count))
    }

    /// A count, and so many items of `size` bytes.
    fn items(&mut self, size: usize) -> bool {
        self.count().is_some_and(|count| self.skip(count * size))
    }

    /// A count, and so many values, each with its length; -1 is null.
    fn values(&mut self) -> bool {
        let Some(count) = self.count() else { return false };
        (0..count).all(|_| {
            let Some(length) = self.rest.first_chunk::<LENGTH>() else { return false };
            let length = i32::from_be_bytes(*length);
            self.skip(LENGTH)
                && match usize::try_from(length) {
                    Ok(length) => self.skip(length),
                    Err(_) => length == -1,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        BytesMut::from(bytes.as_slice())
    }

    #[test]
    fn a_message_is_read_once_it_is_whole() {
        let whole = framed(b'Q', b"select 1\0");
        for end in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..end]);
            assert!(message(&mut part, 100).unwrap().is_none(), "{end}");
            assert_eq!(part.len(), end, "nothing is taken");
        }
        let mut two = whole.clone();
        two.extend_from_slice(&framed(b'S', b""));
        let read = message(&mut two, 100).unwrap().unwrap();
        assert!(matches!(read, PgWireFrontendMessage::Query(query) if query.query == "select 1"));
        assert!(matches!(message(&mut two, 100).unwrap().unwrap(), PgWireFrontendMessage::Sync(_)));
        assert!(two.is_empty());
    }

    #[test]
    fn a_message_that_is_cut_short_is_refused() {
        // Statement `s`: a type, then formats, values and formats.
        let parse = b"s\0select $1\0\0\x01\0\0\0\x17";
        let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x07\xff\xff\xff\xff\0\x01\0\0";
        let execute = b"p\0\0\0\0\x0a";
        let describe = b"Ss\0";
        for (kind, body) in [
            (b'P', &parse[..]),
            (b'B', &bind[..]),
            (b'E', &execute[..]),
            (b'D', &describe[..]),
            (b'C', &describe[..]),
            (b'Q', &b"x\0"[..]),
        ] {
            assert!(message(&mut framed(kind, body), 100).unwrap().is_some(), "{kind}");
            for end in 0..body.len() {
                let error = message(&mut framed(kind, &body[..end]), 100).unwrap_err();
                assert!(error.is_fatal() && error.state() == PROTOCOL, "{kind} {end}");
            }
            let long = [body, b"\0"].concat();
            assert!(message(&mut framed(kind, &long), 100).is_err(), "{kind}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for length in [-1, 0, 3, i32::MIN, i32::MAX, 101] {
            let mut bytes = BytesMut::from(&b"Q"[..]);
            bytes.extend_from_slice(&i32::to_be_bytes(length));
            assert!(message(&mut bytes, 100).is_err(), "{length}");
            let mut bytes = BytesMut::from(&i32::to_be_bytes(length)[..]);
            let begins = first(&mut bytes);
            assert!(begins.is_err() || length == 101, "{length}");
        }
        assert!(message(&mut framed(b'?', b""), 100).is_err());
        assert_eq!(message(&mut framed(b'Q', b"\xff\0"), 100).unwrap_err().state(), "22021");
    }

    #[test]
    fn what_a_connection_begins_with_is_told_apart() {
        let begins = |code: i32, rest: &[u8]| {
            let mut bytes = BytesMut::from(&(rest.len() as i32 + 8).to_be_bytes()[..]);
            bytes.extend_from_slice(&code.to_be_bytes());
            bytes.extend_from_slice(rest);
            first(&mut bytes)
        };
        assert!(matches!(begins(80_877_103, b"").unwrap().unwrap(), First::Tls));
        assert!(matches!(begins(80_877_104, b"").unwrap().unwrap(), First::Gss));
        let cancel = begins(80_877_102, b"\0\0\0\x07abcd").unwrap().unwrap();
        assert!(matches!(cancel, First::Cancel(of) if of.pid == 7));
        assert!(begins(80_877_102, b"\0\0\0\x07abc").is_err());
        assert!(begins(80_877_102, b"").is_err());
        let startup = begins(196_608, b"user\0ada\0\0").unwrap().unwrap();
        assert!(matches!(startup, First::Startup(of) if of.parameters["user"] == "ada"));
        assert!(begins(131_072, b"user\0ada\0\0").is_err(), "version 2");
        assert!(begins(196_608, b"").is_err());
    }
}
