//! `barograph token`: the tokens of a server, made, listed and revoked in their file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use barograph_access::tokens::{NewToken, TokenEntry, create, list, revoke};
use barograph_access::{Error as AccessError, KeyRange};
use barograph_engine::{Clock, SystemClock};
use barograph_lake::Timestamp;

use crate::arguments::{TokenCommand, TokenCreateArguments, TokenFileArguments};
use crate::output::{Format, RowWriter, check_terminal, say};
use crate::settings::Settings;
use crate::{Error, Result};

pub(super) fn run(command: TokenCommand, settings: &Settings) -> Result<()> {
    match command {
        TokenCommand::Create(arguments) => made(arguments, settings),
        TokenCommand::List { file, format } => {
            check_terminal(format)?;
            listed(&list(path(&file, settings)?).map_err(usage)?, format)
        }
        TokenCommand::Revoke { of, file } => {
            let revoked = revoke(path(&file, settings)?, &of).map_err(usage)?;
            revoked.iter().try_for_each(|token| {
                say(format_args!("{} of {} is revoked", token.id, token.name))
            })
        }
    }
}

fn made(arguments: TokenCreateArguments, settings: &Settings) -> Result<()> {
    settings.access.check_roles("--role", &arguments.role).map_err(usage)?;
    let keys = arguments.keys.iter().map(|text| text.parse::<KeyRange>());
    let keys = keys.collect::<Result<Vec<_>, String>>();
    let keys = keys.map_err(|e| Error::usage(format!("--keys: {e}")))?;
    let now = SystemClock.now();
    let new = NewToken {
        name: arguments.name,
        roles: arguments.role,
        expires_at: arguments.expires.map(|span| now.saturating_add(span)),
        keys: (!keys.is_empty()).then_some(keys),
        filter: arguments.filter,
    };
    let (token, entry) = create(path(&arguments.file, settings)?, new, now).map_err(usage)?;
    let until = entry.expires_at.map_or_else(|| "for ever".to_owned(), |at| format!("until {at}"));
    // Apart from the token, which a script takes from stdout.
    eprintln!(
        "token {} of {} counts {until}; it is shown this once, and kept nowhere",
        entry.id, entry.name
    );
    say(token)
}

fn listed(tokens: &[TokenEntry], format: Format) -> Result<()> {
    let texts = |of: fn(&TokenEntry) -> Option<String>| -> ArrayRef {
        Arc::new(tokens.iter().map(of).collect::<StringArray>())
    };
    let times = |of: fn(&TokenEntry) -> Option<Timestamp>| -> ArrayRef {
        let times = tokens.iter().map(|token| of(token).map(Timestamp::as_micros));
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let keys = |token: &TokenEntry| {
        let keys = token.keys.as_ref()?.iter().map(KeyRange::to_string);
        Some(keys.collect::<Vec<_>>().join(","))
    };
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("id", texts(|token| Some(token.id.clone())), false),
        ("name", texts(|token| Some(token.name.clone())), false),
        ("roles", texts(|token| Some(token.roles.join(","))), false),
        ("created_at", times(|token| Some(token.created_at)), false),
        ("expires_at", times(|token| token.expires_at), true),
        ("keys", texts(keys), true),
        ("filter", texts(|token| token.filter.clone()), true),
    ])?;
    let mut writer = RowWriter::new(io::stdout(), format, &rows.schema(), false)?;
    writer.write(&rows)?;
    writer.finish().map(drop)
}

fn path<'a>(file: &'a TokenFileArguments, settings: &'a Settings) -> Result<&'a Path> {
    file.file.as_deref().or(settings.access.tokens.as_deref()).ok_or_else(|| {
        Error::usage("which file holds the tokens? set access.tokens in the settings file, or name it by --file")
    })
}

fn usage(error: AccessError) -> Error {
    Error::usage(error.to_string())
}
