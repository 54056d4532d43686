//! The store of a lake: an object store, and the folder in it where the lake lives.
//!
//! What a remote store needs besides is decorators around it (docs/adr/0032-object-stores.md): see `remote`.
//!
//! Paths in an object store start at its root (the bucket, the container, `/` of a local disk), as
//! the Delta kernel wants them; a [`LakeStore`] adds the folder they are relative to.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use object_store::path::{Path, PathPart};
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use crate::{Error, Result};

pub mod check;
pub(crate) mod decorator;
pub mod faults;
mod local;
mod remote;
mod settings;
#[cfg(test)]
mod tests;

pub use local::DurableLocal;
pub(crate) use local::is_temporary;
pub use remote::{RequestCount, disk_cache_use, requests};
pub use settings::StoreSettings;

/// Schemes of the object stores a lake can live in.
const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];

/// A folder of an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LakeStore {
    object: Arc<dyn ObjectStore>,
    /// Always ends with `/`.
    url: Url,
    /// The object path of `url`.
    root: Path,
    /// The folder on the local disk, if it is one.
    folder: Option<PathBuf>,
}

impl LakeStore {
    /// [`Self::open_with`] the default settings.
    ///
    /// # Errors
    /// As of [`Self::open_with`].
    pub fn open(location: &str) -> Result<Self> {
        Self::open_with(location, &StoreSettings::default(), "program")
    }

    /// Opens a folder path, `file://`, `s3://`, `gs://` or `az://` URL. Credentials and options of an
    /// object store that the settings do not have come from the environment (`AWS_ACCESS_KEY_ID`,
    /// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`, …). Its [`requests`] are counted as asked by `asked_by`.
    /// Nothing is created or connected to.
    ///
    /// # Errors
    /// A request error if the scheme is unknown, or an option is missing or wrong.
    pub fn open_with(location: &str, settings: &StoreSettings, asked_by: &str) -> Result<Self> {
        if !location.contains("://") {
            return Self::local(FsPath::new(location));
        }
        let url = Url::parse(location).map_err(|e| {
            Error::request(format!("lake location {location:?} is not a URL")).with_source(e)
        })?;
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| {
                Error::request(format!(
                    "lake location {location:?}: write three slashes and an absolute path, like file:///srv/lake"
                ))
            })?;
            return Self::local(&folder);
        }
        if !SCHEMES.contains(&url.scheme()) {
            return Err(Error::request(format!(
                "lake location {location:?}: use a folder path, file://, s3://, gs:// or az://"
            )));
        }
        // The store also understands names without these prefixes (`TOKEN`, `REGION`), which in an
        // environment mean anything.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|p| name.starts_with(p)));
        let object = remote::open(&url, environment, settings, asked_by)?;
        Ok(Self::with_store(object, url))
    }

    /// Opens a folder of the local disk, in which a put is on disk (file and directory entries synced)
    /// when it returns. The folder is created by the first put.
    pub fn local(folder: &FsPath) -> Result<Self> {
        let fault = |e: &dyn std::fmt::Display| {
            Error::request(format!("lake folder {}: {e}", folder.display()))
        };
        let absolute = resolve(folder).map_err(|e| fault(&e))?;
        let root = Path::from_absolute_path(&absolute).map_err(|e| fault(&e))?;
        let url = Url::from_directory_path(&absolute)
            .map_err(|()| fault(&"it cannot be written as a file:// URL"))?;
        Ok(Self { object: Arc::new(DurableLocal::new()), url, root, folder: Some(absolute) })
    }

    /// A given store, which must be rooted where the URL's path starts. [`Self::local_path`] is `None`, so
    /// that every access goes through `object`.
    pub fn with_store(object: Arc<dyn ObjectStore>, mut url: Url) -> Self {
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let root = Path::from_url_path(url.path()).unwrap_or_else(|_| Path::from(url.path()));
        Self { object, url, root, folder: None }
    }

    /// The object store.
    pub fn object(&self) -> &Arc<dyn ObjectStore> {
        &self.object
    }

    /// A folder in this one, for example that of a table.
    pub fn child(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(name.split('/')).push("");
        }
        Self {
            object: Arc::clone(&self.object),
            url,
            root: self.path(name),
            folder: self.local_path(name),
        }
    }

    /// Object path of `relative`, a path below this folder with `/` between its parts.
    pub fn path(&self, relative: &str) -> Path {
        self.root.parts().chain(relative.split('/').map(PathPart::from)).collect()
    }

    /// Path of an object relative to this folder; `None` if it lies elsewhere.
    pub(crate) fn relative(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.root)?.collect();
        Some(parts.iter().map(|part| part.as_ref()).collect::<Vec<_>>().join("/"))
    }

    /// Path on the local disk of `relative`, for reading without the object store; `None` if this is not
    /// a local folder.
    pub fn local_path(&self, relative: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(relative))
    }

    /// Asks the store for the metadata of one object of this folder, which need not be there.
    ///
    /// # Errors
    /// A store error if it does not answer as it should.
    pub async fn ask(&self) -> Result<()> {
        match self.object.head(&self.path("_log.json")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// URL of this folder, ending with `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// The folder as an absolute path without symbolic links in its existing part.
fn resolve(folder: &FsPath) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return Ok(real.join(rest));
        }
    }
    Ok(absolute)
}
