//! The gRPC reflection services, which describe the methods of the server. `Flight.proto` is written here as a table,
//! because the Flight crate carries no description of it.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto,
};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha::{
    ServerReflection as ServerReflectionAlpha,
    ServerReflectionServer as ServerReflectionServerAlpha,
};

use crate::{Error, Result};

const PACKAGE: &str = "arrow.flight.protocol";

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
        .register_file_descriptor_set(FileDescriptorSet { file: vec![timestamp(), flight()] })
}

fn failed(error: tonic_reflection::server::Error) -> Error {
    Error::new(barograph_engine::ErrorKind::Internal, "reflection").with_source(error)
}

/// Type of a field.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Bytes,
    Double,
    Int32,
    Int64,
    Text,
    UInt64,
    Message(&'static str),
    Enum(&'static str),
}

use Kind::{Bool, Bytes, Double, Enum, Int32, Int64, Message, Text, UInt64};

/// Name, number, type, and whether it repeats.
type Field = (&'static str, i32, Kind, bool);

const MESSAGES: &[(&str, &[Field])] = &[
    ("HandshakeRequest", &[("protocol_version", 1, UInt64, false), ("payload", 2, Bytes, false)]),
    ("HandshakeResponse", &[("protocol_version", 1, UInt64, false), ("payload", 2, Bytes, false)]),
    ("BasicAuth", &[("username", 2, Text, false), ("password", 3, Text, false)]),
    ("Empty", &[]),
    ("ActionType", &[("type", 1, Text, false), ("description", 2, Text, false)]),
    ("Criteria", &[("expression", 1, Bytes, false)]),
    ("Action", &[("type", 1, Text, false), ("body", 2, Bytes, false)]),
    ("CancelFlightInfoRequest", &[("info", 1, Message("FlightInfo"), false)]),
    ("RenewFlightEndpointRequest", &[("endpoint", 1, Message("FlightEndpoint"), false)]),
    ("Result", &[("body", 1, Bytes, false)]),
    ("CancelFlightInfoResult", &[("status", 1, Enum("CancelStatus"), false)]),
    ("SchemaResult", &[("schema", 1, Bytes, false)]),
    (
        "FlightDescriptor",
        &[
            ("type", 1, Enum("FlightDescriptor.DescriptorType"), false),
            ("cmd", 2, Bytes, false),
            ("path", 3, Text, true),
        ],
    ),
    (
        "FlightInfo",
        &[
            ("schema", 1, Bytes, false),
            ("flight_descriptor", 2, Message("FlightDescriptor"), false),
            ("endpoint", 3, Message("FlightEndpoint"), true),
            ("total_records", 4, Int64, false),
            ("total_bytes", 5, Int64, false),
            ("ordered", 6, Bool, false),
            ("app_metadata", 7, Bytes, false),
        ],
    ),
    (
        "PollInfo",
        &[
            ("info", 1, Message("FlightInfo"), false),
            ("flight_descriptor", 2, Message("FlightDescriptor"), false),
            ("progress", 3, Double, false),
            ("expiration_time", 4, Message(TIMESTAMP), false),
        ],
    ),
    (
        "FlightEndpoint",
        &[
            ("ticket", 1, Message("Ticket"), false),
            ("location", 2, Message("Location"), true),
            ("expiration_time", 3, Message(TIMESTAMP), false),
            ("app_metadata", 4, Bytes, false),
        ],
    ),
    ("Location", &[("uri", 1, Text, false)]),
    ("Ticket", &[("ticket", 1, Bytes, false)]),
    (
        "FlightData",
        &[
            ("flight_descriptor", 1, Message("FlightDescriptor"), false),
            ("data_header", 2, Bytes, false),
            ("app_metadata", 3, Bytes, false),
            ("data_body", 1000, Bytes, false),
        ],
    ),
    ("PutResult", &[("app_metadata", 1, Bytes, false)]),
];

/// The one field whose absence is told from its default.
const OPTIONAL: (&str, &str) = ("PollInfo", "progress");

/// Method, request, whether it streams, response, whether it streams.
const METHODS: &[(&str, &str, bool, &str, bool)] = &[
    ("Handshake", "HandshakeRequest", true, "HandshakeResponse", true),
    ("ListFlights", "Criteria", false, "FlightInfo", true),
    ("GetFlightInfo", "FlightDescriptor", false, "FlightInfo", false),
    ("PollFlightInfo", "FlightDescriptor", false, "PollInfo", false),
    ("GetSchema", "FlightDescriptor", false, "SchemaResult", false),
    ("DoGet", "Ticket", false, "FlightData", true),
    ("DoPut", "FlightData", true, "PutResult", true),
    ("DoExchange", "FlightData", true, "FlightData", true),
    ("DoAction", "Action", false, "Result", true),
    ("ListActions", "Empty", false, "ActionType", true),
];

const TIMESTAMP: &str = ".google.protobuf.Timestamp";

/// `Flight.proto` of Apache Arrow.
fn flight() -> FileDescriptorProto {
    let descriptor_type = values("DescriptorType", &["UNKNOWN", "PATH", "CMD"]);
    let cancel_status = values(
        "CancelStatus",
        &[
            "CANCEL_STATUS_UNSPECIFIED",
            "CANCEL_STATUS_CANCELLED",
            "CANCEL_STATUS_CANCELLING",
            "CANCEL_STATUS_NOT_CANCELLABLE",
        ],
    );
    let mut messages: Vec<_> =
        MESSAGES.iter().map(|(name, fields)| message(name, fields)).collect();
    for message in &mut messages {
        if message.name() == "FlightDescriptor" {
            message.enum_type.push(descriptor_type.clone());
        }
    }
    FileDescriptorProto {
        name: Some("Flight.proto".to_owned()),
        package: Some(PACKAGE.to_owned()),
        dependency: vec!["google/protobuf/timestamp.proto".to_owned()],
        message_type: messages,
        enum_type: vec![cancel_status],
        service: vec![ServiceDescriptorProto {
            name: Some("FlightService".to_owned()),
            method: METHODS.iter().map(method).collect(),
            options: None,
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

/// `google/protobuf/timestamp.proto`, which `Flight.proto` imports.
fn timestamp() -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some("google/protobuf/timestamp.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![message(
            "Timestamp",
            &[("seconds", 1, Int64, false), ("nanos", 2, Int32, false)],
        )],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn message(name: &str, fields: &[Field]) -> DescriptorProto {
    let optional = |field: &str| (name, field) == OPTIONAL;
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields.iter().map(|described| field(described, optional(described.0))).collect(),
        oneof_decl: fields
            .iter()
            .filter(|(field, ..)| optional(field))
            .map(|(field, ..)| OneofDescriptorProto {
                name: Some(format!("_{field}")),
                options: None,
            })
            .collect(),
        ..DescriptorProto::default()
    }
}

fn field(&(name, number, kind, repeats): &Field, optional: bool) -> FieldDescriptorProto {
    let (field_type, type_name) = match kind {
        Bool => (Type::Bool, None),
        Bytes => (Type::Bytes, None),
        Double => (Type::Double, None),
        Int32 => (Type::Int32, None),
        Int64 => (Type::Int64, None),
        Text => (Type::String, None),
        UInt64 => (Type::Uint64, None),
        Message(name) => (Type::Message, Some(qualified(name))),
        Enum(name) => (Type::Enum, Some(qualified(name))),
    };
    let mut json_name = String::new();
    for part in name.split('_') {
        match part.split_at_checked(1) {
            Some((first, rest)) if !json_name.is_empty() => {
                json_name.push_str(&first.to_ascii_uppercase());
                json_name.push_str(rest);
            }
            _ => json_name.push_str(part),
        }
    }
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(if repeats { Label::Repeated } else { Label::Optional }.into()),
        r#type: Some(field_type.into()),
        type_name,
        json_name: Some(json_name),
        oneof_index: optional.then_some(0),
        proto3_optional: optional.then_some(true),
        ..FieldDescriptorProto::default()
    }
}

fn qualified(name: &str) -> String {
    if name.starts_with('.') { name.to_owned() } else { format!(".{PACKAGE}.{name}") }
}

fn values(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let value = |(number, name): (i32, &&str)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: (0..).zip(values).map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

fn method(
    &(name, input, client_streaming, output, server_streaming): &(&str, &str, bool, &str, bool),
) -> MethodDescriptorProto {
    MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(qualified(input)),
        output_type: Some(qualified(output)),
        options: None,
        client_streaming: client_streaming.then_some(true),
        server_streaming: server_streaming.then_some(true),
    }
}
