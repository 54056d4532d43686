//! The settings of the server. Every setting has a default that suits one machine.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use barograph_engine::filter::FilterBounds;
use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ticket::TicketBounds;
use crate::tls::{ServerFiles, TlsVersion};

/// The largest number that can be meant.
const COUNT_MAX: usize = 1 << 30;
/// The deepest and the largest filter that can be meant.
const FILTER_DEPTH_MAX: usize = 500;
const FILTER_OPERATORS_MAX: usize = 50_000;

/// Settings of the Flight server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlightSettings {
    /// Address and port to listen on, such as `127.0.0.1:8815` or `[::]:8815`. Port 0 picks a free one. An address that
    /// other machines reach needs `tls_certificate`, or `allow_unencrypted`, and clients that say who they are: see
    /// `[access]`.
    pub listen: String,
    /// Host and port by which clients and other servers of the same lake reach this one, such as
    /// `weather-2.example.org:8815`. If absent, the address of `listen`. Required when the log is shared and `listen` is
    /// an address such as `[::]:8815`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// File with the server's certificate and those between it and the authority, in PEM. If set, all connections,
    /// those for `/metrics` and `/health` included, are encrypted by TLS, and clients without it are refused. The file
    /// is read again when it changes; connections that run are not cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_certificate: Option<PathBuf>,
    /// File with the private key of `tls_certificate`, in PEM, which only the server's user should be able to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// File with the certificates of authorities, in PEM. If set, only clients that show a certificate of one of them
    /// are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_ca: Option<PathBuf>,
    /// Lowest version of TLS that is accepted, `1.2` or `1.3`. Lower it only for clients that do not know 1.3.
    pub tls_version_min: TlsVersion,
    /// Whether to listen on an address that other machines reach without encryption, such as behind a proxy that
    /// encrypts. Everybody on the way can read and change what is sent.
    pub allow_unencrypted: bool,
    /// Target size of the messages of an answer. Many gRPC clients refuse messages over 4 MiB; larger messages save a
    /// little work for clients that accept them.
    pub message_bytes: Size,
    /// Largest message accepted from a client: one batch of a put. Raise it for writers that send larger batches; each
    /// running put may hold `put_batches_in_flight` of them in memory.
    pub request_bytes_max: Size,
    /// Largest ticket, in bytes of JSON.
    pub ticket_bytes_max: Size,
    /// Most keys that a ticket may list. Raise it for readers that ask for very many keys at once.
    pub ticket_keys_max: usize,
    /// Deepest nesting of parentheses, NOT and signs in the filter of a ticket. A deeper filter is refused.
    pub ticket_filter_depth_max: usize,
    /// Most names, operators and parentheses in the filter of a ticket; the values of IN lists are not counted. A
    /// larger filter is refused.
    pub ticket_filter_operators_max: usize,
    /// Most answers, puts and exchanges that may run at the same time. At the limit, a call is refused with
    /// RESOURCE_EXHAUSTED.
    pub streams_max: usize,
    /// Most connections that may be open from one address. Further ones are closed at once. Raise it for clients behind a
    /// proxy, which all come from its address.
    pub connections_per_address_max: usize,
    /// Longest time for an answer (from the first byte to the last), one batch of a put, one query of an exchange, or
    /// an action. After it, the call ends with DEADLINE_EXCEEDED. A client can ask for less with the gRPC timeout.
    pub request_timeout: Span,
    /// Longest time that a call with `after` waits until this server has that position of the log. Then it ends with
    /// UNAVAILABLE, and another server may be asked.
    pub after_wait_max: Span,
    /// Longest time for which a server may not have known the end of a shared log, as when it was stopped or cut off from
    /// the store. Beyond it, reads end with UNAVAILABLE rather than show old rows. Raise it if old rows are better than none.
    pub stale_max: Span,
    /// Batches of one put that may be in flight at the same time. More hides the time that the disk needs to sync, and
    /// takes more memory.
    pub put_batches_in_flight: usize,
    /// Queries of one exchange that may wait for the lake at the same time.
    pub exchange_requests_in_flight: usize,
    /// How long the endpoints of a GetFlightInfo stay valid. Their rows are held until then. Raise it for slow parallel
    /// readers.
    pub view_lifetime: Span,
    /// Most views that endpoints may hold at the same time. At the limit, GetFlightInfo is refused with
    /// RESOURCE_EXHAUSTED.
    pub views_max: usize,
    /// Target number of rows per endpoint of a GetFlightInfo. Fewer rows give more endpoints, and so more parallel
    /// readers.
    pub endpoint_rows: u64,
    /// Most endpoints of a GetFlightInfo.
    pub endpoints_max: usize,
    /// How long running calls may continue after the server was told to stop.
    pub drain_timeout: Span,
    /// HTTP/2 flow-control window of a stream: bytes that a client may send ahead. Raise it for fast writers on a
    /// connection of high latency.
    pub stream_window: Size,
    /// HTTP/2 flow-control window of a connection, for all its streams together.
    pub connection_window: Size,
    /// Largest HTTP/2 frame accepted, from 16 KiB to 16 MiB less one byte.
    pub frame_bytes_max: Size,
    /// Time from which on a request for rows (a ticket or a statement of SQL) is reported as slow: one message at level
    /// `warn` with the target `slow_query`, which says its kind, cost, rows, bytes and seconds, but neither its text
    /// nor values. Raise it where long answers are usual.
    pub slow_query: Span,
    /// How often an idle connection is probed to see whether its client is still there.
    pub keepalive: Span,
}

impl Default for FlightSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8815".to_owned(),
            advertise: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_version_min: TlsVersion::V13,
            allow_unencrypted: false,
            message_bytes: Size::mebibytes(2),
            request_bytes_max: Size::mebibytes(64),
            ticket_bytes_max: Size::mebibytes(1),
            ticket_keys_max: 100_000,
            ticket_filter_depth_max: FilterBounds::default().depth,
            ticket_filter_operators_max: FilterBounds::default().operators,
            streams_max: 1_024,
            connections_per_address_max: 4_096,
            request_timeout: Span::seconds(5 * 60),
            after_wait_max: Span::seconds(5),
            stale_max: Span::seconds(5),
            put_batches_in_flight: 8,
            exchange_requests_in_flight: 256,
            view_lifetime: Span::seconds(5 * 60),
            views_max: 32,
            endpoint_rows: 1_000_000,
            endpoints_max: 16,
            drain_timeout: Span::seconds(10),
            stream_window: Size::mebibytes(4),
            connection_window: Size::mebibytes(16),
            frame_bytes_max: Size::mebibytes(1),
            slow_query: Span::seconds(10),
            keepalive: Span::seconds(30),
        }
    }
}

impl FlightSettings {
    /// How large a ticket may be.
    pub(crate) fn ticket_bounds(&self) -> TicketBounds {
        TicketBounds {
            keys: self.ticket_keys_max,
            filter: FilterBounds {
                depth: self.ticket_filter_depth_max,
                operators: self.ticket_filter_operators_max,
            },
        }
    }

    /// The files of TLS, if the connections are encrypted.
    pub(crate) fn tls_files(&self) -> crate::Result<Option<ServerFiles>> {
        ServerFiles::named(
            self.tls_certificate.as_deref(),
            self.tls_key.as_deref(),
            self.tls_client_ca.as_deref(),
            self.tls_version_min,
        )
    }

    /// Refuses values that no server can run with.
    pub fn check(&self) -> crate::Result<()> {
        check_address("flight.listen", &self.listen)?;
        let mut advertised = self.advertise.iter();
        advertised.try_for_each(|address| check_address("flight.advertise", address))?;
        self.tls_files()?;
        let counts = [
            ("ticket_keys_max", self.ticket_keys_max),
            ("ticket_filter_depth_max", self.ticket_filter_depth_max),
            ("ticket_filter_operators_max", self.ticket_filter_operators_max),
            ("streams_max", self.streams_max),
            ("connections_per_address_max", self.connections_per_address_max),
            ("put_batches_in_flight", self.put_batches_in_flight),
            ("exchange_requests_in_flight", self.exchange_requests_in_flight),
            ("endpoints_max", self.endpoints_max),
            ("views_max", self.views_max),
            ("endpoint_rows", usize::try_from(self.endpoint_rows).unwrap_or(usize::MAX)),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(crate::Error::request(format!("flight.{name} is 0: give at least 1")));
        }
        if let Some((name, count)) = counts.iter().find(|(_, count)| *count > COUNT_MAX) {
            return Err(crate::Error::request(format!(
                "flight.{name} is {count}: give {COUNT_MAX} at most"
            )));
        }
        for (name, count, most) in [
            ("ticket_filter_depth_max", self.ticket_filter_depth_max, FILTER_DEPTH_MAX),
            ("ticket_filter_operators_max", self.ticket_filter_operators_max, FILTER_OPERATORS_MAX),
        ] {
            if count > most {
                let text = format!("flight.{name} is {count}: give {most} at most");
                return Err(crate::Error::request(text));
            }
        }
        let sizes = [
            ("message_bytes", self.message_bytes, 4 << 10, 1 << 30),
            ("request_bytes_max", self.request_bytes_max, 64 << 10, 1 << 31),
            ("ticket_bytes_max", self.ticket_bytes_max, 1 << 10, 1 << 30),
            ("stream_window", self.stream_window, (64 << 10) - 1, (1 << 31) - 1),
            ("connection_window", self.connection_window, (64 << 10) - 1, (1 << 31) - 1),
            ("frame_bytes_max", self.frame_bytes_max, 16 << 10, (16 << 20) - 1),
        ];
        match sizes.into_iter().find(|(_, size, min, max)| !(*min..=*max).contains(&size.get())) {
            None => Ok(()),
            Some((name, size, min, max)) => Err(crate::Error::request(format!(
                "flight.{name} is {size}: give {} to {}",
                Size::bytes(min as u64),
                Size::bytes(max as u64)
            ))),
        }
    }
}

/// Refuses what is not the address of a host with a port.
pub(crate) fn check_address(name: &str, address: &str) -> crate::Result<()> {
    let is_host = |host: &str| match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(fits)
        }
    };
    match address.rsplit_once(':') {
        Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err(crate::Error::request(format!(
            "{name} {address:?}: write a host and a port, like 127.0.0.1:8815 or [::]:8815"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let check = |listen: &str| {
            FlightSettings { listen: listen.to_owned(), ..FlightSettings::default() }.check()
        };
        for good in ["127.0.0.1:0", "[::]:8815", "[::1]:1", "localhost:8815", "station-7.example:1"]
        {
            check(good).unwrap();
        }
        let wrong = [
            "",
            "8815",
            "127.0.0.1",
            "::1:8815",
            "[::1:1",
            "host:65536",
            "host:-1",
            ":1",
            "http://a:1",
        ];
        for wrong in wrong {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("flight.listen {wrong:?}")), "{error}");
        }
    }

    #[test]
    fn the_defaults_pass_their_own_check() {
        FlightSettings::default().check().unwrap();
    }

    #[test]
    fn an_impossible_value_is_named() {
        let settings = FlightSettings { streams_max: 0, ..Default::default() };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "flight.streams_max is 0: give at least 1"
        );
        let settings = FlightSettings { frame_bytes_max: Size::bytes(1), ..Default::default() };
        assert_eq!(
            settings.check().unwrap_err().to_string(),
            "flight.frame_bytes_max is 1B: give 16KiB to 16777215B"
        );
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = serde_json::from_str::<FlightSettings>(r#"{"port": 1}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `port`"), "{error}");
    }
}
