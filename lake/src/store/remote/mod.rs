//! A remote object store: its client, whose connections have threads of their own, and the decorators around it.
//!
//! ```text
//! Cached ─► Reads ─► PutIfAbsent ─► LimitStore ─► client (repeats requests) ─► CountingConnector ─► connections
//! ```
//!
//! The tasks that drive a connection live on the runtime that opened it, and others reuse the connection: on a runtime
//! whose threads may be held up for minutes, such as that of a query, these others would wait.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::limit::LimitStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

mod cache;
mod cached;
mod hedge;
#[cfg(test)]
mod http_tests;
mod put_if_absent;
mod reads;
mod requests;
#[cfg(test)]
mod tests;

pub use cache::disk_cache_use;
pub use requests::{RequestCount, requests};

use cache::DiskCache;
use cached::Cached;
use put_if_absent::PutIfAbsent;
use reads::Reads;
use requests::CountingConnector;

use crate::store::StoreSettings;
use crate::store::decorator::Decorated;
use crate::{Error, ErrorKind, Result};

/// Threads that drive the connections: they move bytes and decrypt them.
const THREADS: usize = 2;
/// The longest wait between two tries of a request.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The store of a URL as the settings say, and `environment` where they say nothing. What it does is counted as asked by
/// `asked_by`.
///
/// # Errors
/// A request error if a needed option is missing or wrong.
pub(super) fn open(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
    settings: &StoreSettings,
    asked_by: &str,
) -> Result<Arc<dyn ObjectStore>> {
    let client = client(url, environment, settings, asked_by)?;
    let limited = Arc::new(LimitStore::new(client, settings.requests_max.max(1)));
    let decided = Arc::new(Decorated(PutIfAbsent(limited)));
    let reads: Arc<dyn ObjectStore> = Arc::new(Decorated(Reads::new(decided, settings)));
    let (Some(folder), bytes @ 1..) = (&settings.cache_folder, settings.cache_bytes.get()) else {
        return Ok(reads);
    };
    let cache = DiskCache::open(folder, bytes as u64).map_err(|e| {
        let place = folder.display();
        Error::request(format!("store.cache_folder: cannot use {place}")).with_source(e)
    })?;
    let Some(cache) = cache else {
        let place = folder.display();
        tracing::warn!("{place} has the caches of too many processes: this one works without");
        return Ok(reads);
    };
    let place = url.host_str().unwrap_or_default().replace(['/', '\\'], "-");
    Ok(Arc::new(Decorated(Cached::new(reads, cache, place))))
}

fn client(
    url: &Url,
    environment: impl IntoIterator<Item = (String, String)>,
    settings: &StoreSettings,
    asked_by: &str,
) -> Result<Arc<dyn ObjectStore>> {
    let connector = SpawnedReqwestConnector::new(runtime()?);
    let connector = CountingConnector::new(connector, asked_by, settings);
    let wrong = |e: object_store::Error| {
        Error::request(format!(
            "lake location \"{url}\": check the URL, the settings of `store` and the store's variables in the environment"
        ))
        .with_source(e)
    };
    let (scheme, _) = ObjectStoreScheme::parse(url).map_err(|e| wrong(e.into()))?;
    let credentials = settings.credentials()?;
    let options = credentials.into_iter().chain(environment).chain(settings.options());
    let options = options.map(|(name, value)| (name.to_ascii_lowercase(), value));
    let http = ClientOptions::new()
        .with_timeout(settings.request_timeout.duration())
        .with_connect_timeout(settings.connect_timeout.duration());
    let retry = RetryConfig {
        backoff: BackoffConfig { max_backoff: BACKOFF_MAX, ..BackoffConfig::default() },
        max_retries: settings.retries_max,
        retry_timeout: settings.retry_timeout.duration(),
    };
    macro_rules! built {
        ($builder:ty, $http:expr) => {{
            let builder = <$builder>::new()
                .with_url(url.as_str())
                .with_client_options($http)
                .with_retry(retry)
                .with_http_connector(connector);
            let builder = options.fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(wrong)
        }};
    }
    match scheme {
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder, http),
        // Machines of Google ask for their role without encryption.
        ObjectStoreScheme::GoogleCloudStorage => {
            built!(GoogleCloudStorageBuilder, http.with_allow_http(true))
        }
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder, http),
        other => {
            Err(Error::request(format!("lake location \"{url}\": {other:?} is not supported")))
        }
    }
}

/// The threads of all connections of the process.
fn runtime() -> Result<Handle> {
    static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
    // Of two that come at once one waits: a runtime that is not kept could not be dropped among asynchronous work.
    let mut kept = RUNTIME.lock();
    if let Some(runtime) = &*kept {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("object-store")
        .enable_all()
        .build()
        .map_err(|e| {
            Error::new(ErrorKind::Store, "the threads of the object store").with_source(e)
        })?;
    Ok(kept.insert(made).handle().clone())
}
