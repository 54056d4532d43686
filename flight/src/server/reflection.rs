//! The gRPC reflection services: clients learn the methods and messages of the server from it.
//!
//! The Flight crate carries no descriptors; `proto/Flight.binpb` is the descriptor set of `proto/Flight.proto`.

use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha::{
    ServerReflection as ServerReflectionAlpha,
    ServerReflectionServer as ServerReflectionServerAlpha,
};

use crate::{Error, Result};

const FLIGHT: &[u8] = include_bytes!("../../proto/Flight.binpb");

/// The reflection service.
pub(super) fn v1() -> Result<ServerReflectionServer<impl ServerReflection>> {
    builder().build_v1().map_err(failed)
}

/// The reflection service under its older name, which many tools still ask.
pub(super) fn v1alpha() -> Result<ServerReflectionServerAlpha<impl ServerReflectionAlpha>> {
    builder().build_v1alpha().map_err(failed)
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(FLIGHT)
}

fn failed(error: tonic_reflection::server::Error) -> Error {
    Error::new(barograph_engine::ErrorKind::Internal, "reflection").with_source(error)
}
