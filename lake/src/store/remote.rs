//! The connections to an object store, on threads of their own. The tasks that drive a connection live on the runtime
//! that opened it, and others reuse the connection: on a runtime whose threads may be held up for minutes, such as that
//! of a query, these others would wait.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ObjectStore, ObjectStoreScheme};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use url::Url;

use crate::{Error, ErrorKind, Result};

/// Threads that drive the connections: they move bytes and decrypt them.
const THREADS: usize = 2;

/// The store of a URL, with the options that it knows.
///
/// # Errors
/// A request error if a needed option is missing or wrong.
pub(super) fn open(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<Arc<dyn ObjectStore>> {
    let connector = SpawnedReqwestConnector::new(runtime()?);
    let wrong = |e: object_store::Error| {
        Error::request(format!(
            "lake location \"{url}\": check the URL and the store's variables in the environment"
        ))
        .with_source(e)
    };
    let (scheme, _) = ObjectStoreScheme::parse(url).map_err(|e| wrong(e.into()))?;
    let options = options.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    macro_rules! built {
        ($builder:ty) => {{
            let builder = <$builder>::new().with_url(url.as_str()).with_http_connector(connector);
            let builder = options.fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(wrong)
        }};
    }
    match scheme {
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder),
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
