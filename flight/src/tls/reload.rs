//! The configuration of the server's TLS, made again when a file has changed. Connections that are made later get it;
//! those that run are left alone. Files that cannot be used change nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use barograph_engine::Clock;
use rustls::ServerConfig;

use super::files::{Content, ServerFiles};
use crate::Result;

/// How often the files are read. They are small, and whoever renews certificates does so days ahead.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// The configuration of the connections that are made at present.
#[derive(Debug)]
pub(crate) struct ServerTls {
    files: ServerFiles,
    /// What they held when the server was started.
    first: Content,
    config: ArcSwap<ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// `Request`, with the name of the file that cannot be used.
    pub(crate) async fn open(files: ServerFiles) -> Result<Arc<Self>> {
        let first = files.read().await?;
        let config = files.config(&first)?;
        Ok(Arc::new(Self { files, first, config: ArcSwap::new(config) }))
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again and again, for as long as it is polled.
    pub(crate) async fn reload(&self, clock: Arc<dyn Clock>) {
        let mut last = Ok(self.first.clone());
        loop {
            clock.sleep(RELOAD_EVERY).await;
            last = self.look(last).await;
        }
    }

    /// Reads the files, and uses them if they are others than at the last look and can be used.
    async fn look(&self, last: Result<Content>) -> Result<Content> {
        let read = self.files.read().await;
        if same(&last, &read) {
            return last;
        }
        let config = match &read {
            Ok(content) => self.files.config(content),
            Err(error) => Err(error.again()),
        };
        match config {
            Ok(config) => {
                self.config.store(config);
                tracing::info!("TLS: certificates were read again: new connections use them");
            }
            Err(error) => {
                tracing::error!(
                    %error,
                    "TLS: the files have changed and cannot be used: new connections get the certificates from before"
                );
            }
        }
        read
    }
}

/// Whether the files are as they were when they were last looked at.
fn same(last: &Result<Content>, read: &Result<Content>) -> bool {
    match (last, read) {
        (Ok(last), Ok(read)) => last == read,
        (Err(last), Err(read)) => last.to_string() == read.to_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use barograph_test_support::Authority;

    use super::*;
    use crate::tls::TlsVersion;

    #[tokio::test]
    async fn files_that_cannot_be_used_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("authority");
        let of = authority.sign(folder.path(), "server");
        let other = authority.sign(folder.path(), "other");
        let ca = authority.write(&folder.path().join("ca.pem"));
        let files =
            ServerFiles::named(Some(&of.certificate), Some(&of.key), Some(&ca), TlsVersion::V12);
        let tls = ServerTls::open(files.unwrap().unwrap()).await.unwrap();
        let first = tls.config();
        let mut last = tls.look(Ok(tls.first.clone())).await;
        assert!(Arc::ptr_eq(&first, &tls.config()), "nothing has changed");

        let (certificate, key) = (fs::read(&of.certificate).unwrap(), fs::read(&of.key).unwrap());
        for (path, bytes) in [(&of.certificate, &key), (&of.key, &certificate), (&ca, &key)] {
            let before = fs::read(path).unwrap();
            fs::write(path, bytes).unwrap();
            let error = tls.files.config(&tls.files.read().await.unwrap()).unwrap_err();
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            last = tls.look(last).await;
            fs::remove_file(path).unwrap();
            last = tls.look(last).await;
            assert!(last.is_err());
            assert!(Arc::ptr_eq(&first, &tls.config()), "{}", path.display());
            fs::write(path, before).unwrap();
        }
        // A key that does not belong to the certificate, as it is between two writes.
        fs::copy(&other.certificate, &of.certificate).unwrap();
        last = tls.look(last).await;
        assert!(Arc::ptr_eq(&first, &tls.config()));
        fs::copy(&other.key, &of.key).unwrap();
        tls.look(last).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &tls.config()), "both are there");
    }
}
