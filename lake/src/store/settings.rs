//! The settings of an object store: where it is, how it is asked, what its requests cost, and what is kept on the disk.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Size, Span};

/// The object store, if `data` is the URL of one. Folders do not need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// URL of the server, for a store that is not that of AWS, Azure or Google, such as `http://127.0.0.1:9000`. With
    /// `http://`, requests are not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of an `s3://` bucket. If absent, `AWS_REGION`, or `us-east-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the path of a request (`true`), as most servers other than AWS need it, or in the name
    /// of the host (`false`). If absent, in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// File with the credentials, one `NAME=VALUE` a line, where the names are those of the environment variables:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`,
    /// `GOOGLE_SERVICE_ACCOUNT` and so on. Nobody but the server's user should be able to read it. A variable in the
    /// environment overrides its line. If absent, the environment alone; on machines of AWS, Azure or Google, their role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<PathBuf>,
    /// How often a request is repeated that failed on its way or that the store answered with 5xx, 408 or 429. The
    /// wait in between doubles, from 0.1 s to 5 s.
    pub retries_max: usize,
    /// Time since the first try after which a request is not repeated.
    pub retry_timeout: Span,
    /// Time after which a request without a complete reply has failed.
    pub request_timeout: Span,
    /// Time after which a connection that is not made has failed.
    pub connect_timeout: Span,
    /// Most requests at the same time, of the server and of each job. Further ones wait.
    pub requests_max: usize,
    /// Largest range that one request reads. Longer ones are read by several requests at the same time.
    pub read_bytes_max: Size,
    /// Bytes between two ranges of an object that are read along with them rather than by two requests: as many as arrive
    /// during the delay of a request.
    pub read_gap_bytes: Size,
    /// Whether a read that takes longer than 95 of 100 reads of its size is sent a second time, and the first reply
    /// taken. At most one request in 20 is added.
    pub hedge: bool,
    /// Time that a read takes at least before it is sent a second time.
    pub hedge_after_min: Span,
    /// Price of a million requests that write or list, in the currency of your bill, for `system.requests`. The default is
    /// that of S3 Standard in US dollars.
    pub price_writes: f64,
    /// Price of a million requests that read.
    pub price_reads: f64,
    /// Folder on a local disk where a server keeps what it has read of data files. If absent, `barograph-store` in the user's
    /// folder for caches (`XDG_CACHE_HOME`, or `.cache` in the home folder); if that cannot be made, nothing is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_folder: Option<PathBuf>,
    /// Most bytes in that folder for each process that uses it. `0B` keeps nothing.
    pub cache_bytes: Size,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: None,
            credentials: None,
            retries_max: 8,
            retry_timeout: Span::seconds(60),
            request_timeout: Span::seconds(30),
            connect_timeout: Span::seconds(5),
            requests_max: 64,
            read_bytes_max: Size::mebibytes(8),
            read_gap_bytes: Size::mebibytes(1),
            hedge: true,
            hedge_after_min: Span::millis(50),
            price_writes: 5.0,
            price_reads: 0.4,
            cache_folder: None,
            cache_bytes: Size::mebibytes(10 << 10),
        }
    }
}

impl StoreSettings {
    /// Refuses settings with which no store can be used.
    ///
    /// # Errors
    /// `Request` with the name of the setting below `store`, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        if let Some(endpoint) = &self.endpoint
            && !["http://", "https://"].iter().any(|scheme| endpoint.starts_with(scheme))
        {
            return Err(Error::request(format!(
                "endpoint is {endpoint:?}: give a URL that starts with http:// or https://"
            )));
        }
        if !(1..=10_000).contains(&self.requests_max) {
            let count = self.requests_max;
            return Err(Error::request(format!("requests_max is {count}: give 1 to 10000")));
        }
        if self.read_bytes_max.get() < 64 << 10 {
            let size = self.read_bytes_max;
            return Err(Error::request(format!("read_bytes_max is {size}: give 64KiB or more")));
        }
        let prices = [("price_writes", self.price_writes), ("price_reads", self.price_reads)];
        match prices.into_iter().find(|(_, price)| !(price.is_finite() && *price >= 0.0)) {
            Some((name, price)) => {
                Err(Error::request(format!("{name} is {price}: give 0 or more")))
            }
            None => Ok(()),
        }
    }

    /// What they say to the clients of all stores, as pairs that each of them reads as far as it knows the name.
    pub(super) fn options(&self) -> Vec<(String, String)> {
        let mut options = Vec::new();
        let mut set = |name: &str, value: &str| options.push((name.to_owned(), value.to_owned()));
        if let Some(endpoint) = &self.endpoint {
            for name in ["aws_endpoint", "azure_storage_endpoint", "google_base_url"] {
                set(name, endpoint);
            }
            if endpoint.starts_with("http://") {
                set("allow_http", "true");
            }
        }
        if let Some(region) = &self.region {
            set("aws_region", region);
        }
        if let Some(path_style) = self.path_style {
            set("aws_virtual_hosted_style_request", if path_style { "false" } else { "true" });
        }
        options
    }

    /// The lines of the file with the credentials; none without one.
    ///
    /// # Errors
    /// `Request` if it cannot be read, with the number of the line that is wrong, but not its content.
    pub(super) fn credentials(&self) -> Result<Vec<(String, String)>> {
        let Some(path) = &self.credentials else { return Ok(Vec::new()) };
        let place = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::request(format!("store.credentials: cannot read {place}")).with_source(e)
        })?;
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(at, line)| {
                let (name, value) = line.split_once('=').ok_or_else(|| {
                    Error::request(format!("store.credentials: {place}:{at} is not NAME=VALUE"))
                })?;
                let name = name.trim().trim_start_matches("export ").trim();
                let value = value.trim();
                let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
                let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }
}
