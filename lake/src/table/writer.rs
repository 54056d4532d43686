//! The writer of a file of any size in the table's folder: rows are encoded as they come and uploaded in parts.

use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::runtime::Handle;

use super::LakeTable;
use crate::file::{FileEncoder, Layout};
use crate::{Error, ErrorKind, FileEntry, FilePath, Result};

/// Bytes of a part: what object stores ask for at least, and few enough requests.
const PART_BYTES: usize = 8 << 20;
/// Parts that are on their way at a time.
const PARTS_AT_ONCE: usize = 2;

/// A file that is being written to the table's folder. If it is dropped before it is finished, a
/// [`LakeTable::sweep`] removes what it leaves.
#[derive(Debug)]
pub struct FileWriter {
    encoder: FileEncoder,
    upload: WriteMultipart,
}

impl LakeTable {
    /// Begins the file at `path`, encoded by `threads` threads. It becomes part of the table by
    /// [`Self::transaction`].
    pub async fn begin_file(&self, path: FilePath, threads: usize) -> Result<FileWriter> {
        self.begin_file_as(&Layout::of(path.period().tier()), path, threads).await
    }

    /// [`Self::begin_file`] with another layout than that of the path's tier.
    pub async fn begin_file_as(
        &self,
        layout: &Layout,
        path: FilePath,
        threads: usize,
    ) -> Result<FileWriter> {
        let encoder = FileEncoder::new(layout, self.schema(), path, threads)?;
        let location = self.store().path(&path.to_string());
        let upload = self.store().object().put_multipart(&location).await?;
        Ok(FileWriter { encoder, upload: WriteMultipart::new_with_chunk_size(upload, PART_BYTES) })
    }
}

impl FileWriter {
    /// Appends rows, which sort after those before; they are encoded on the threads of `on`.
    ///
    /// # Errors
    /// An internal error if they do not sort so; a store error if a part could not be written.
    pub async fn push(mut self, rows: RecordBatch, on: &Handle) -> Result<Self> {
        let mut encoder = self.encoder;
        let encoding = on.spawn_blocking(move || {
            encoder.push(rows)?;
            Ok::<_, Error>(encoder)
        });
        self.encoder = encoding.await.map_err(ended)??;
        self.upload.wait_for_capacity(PARTS_AT_ONCE).await?;
        self.upload.put(self.encoder.take());
        Ok(self)
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.encoder.written()
    }

    /// Ends the file, which is then in the store.
    pub async fn finish(mut self, on: &Handle) -> Result<Arc<FileEntry>> {
        let encoder = self.encoder;
        let encoding = on.spawn_blocking(move || encoder.finish());
        let (bytes, entry) = encoding.await.map_err(ended)??;
        self.upload.put(bytes);
        self.upload.finish().await?;
        Ok(Arc::new(entry))
    }
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, "encoding ended early").with_source(error)
}
