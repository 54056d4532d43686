//! The arguments of `barograph token`.

use std::path::PathBuf;

use barograph_lake::Span;
use clap::{Args, Subcommand};

use crate::output::Format;

/// What to do about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once. Servers know it within seconds, without a restart.
    Create(TokenCreateArguments),
    /// List the tokens, without their secrets.
    List {
        /// Which file.
        #[command(flatten)]
        file: TokenFileArguments,
        /// Output format.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Revoke a token by its id, or all of a name. Servers refuse it within seconds.
    Revoke {
        /// The id or the name.
        #[arg(value_name = "ID|NAME")]
        of: String,
        /// Which file.
        #[command(flatten)]
        file: TokenFileArguments,
    },
}

/// Where the tokens are.
#[derive(Debug, Args)]
pub(crate) struct TokenFileArguments {
    /// File of the tokens; if absent, that of the setting `access.tokens`.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreateArguments {
    /// Whose token it is: letters, digits and - _ . @ +
    pub name: String,
    /// Role that it gives. Repeatable.
    #[arg(long, value_name = "ROLE", required = true)]
    pub role: Vec<String>,
    /// How long it counts, such as 90d; for ever if absent.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<Span>,
    /// The only keys that it gives, of those of its roles: numbers and ranges, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "KEY,FROM..TO,…", allow_hyphen_values = true)]
    pub keys: Vec<String>,
    /// The only rows that it gives for reading, of those of its roles: a condition like the filter of a ticket.
    #[arg(long, value_name = "SQL")]
    pub filter: Option<String>,
    /// Which file.
    #[command(flatten)]
    pub file: TokenFileArguments,
}
