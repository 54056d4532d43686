//! How can a text file be described on the command line? The same as in `[format]` of a mapping file.

use barograph_jobs::import::input::format::{Decimal, Delimiter, Encoding, Format, Header, Quote};
use clap::Args;

use crate::Result;

/// How the lines of a text file become rows.
#[derive(Debug, Args)]
#[command(next_help_heading = "Text files")]
pub struct TextArguments {
    /// What parts the fields of a line: a character, `tab`, or `whitespace` for any number of blanks and tabs.
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<Delimiter>,
    /// What encloses fields that hold delimiters: a character, or `none`.
    #[arg(long, value_name = "CHARACTER")]
    pub quote: Option<Quote>,
    /// How characters are encoded, such as `latin-1` or `utf-16le`.
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<Encoding>,
    /// What stands before the decimals of numbers: `.` or `,`.
    #[arg(long, value_name = "CHARACTER")]
    pub decimal: Option<Decimal>,
    /// Lines at the beginning that are left out.
    #[arg(long, value_name = "LINES")]
    pub skip: Option<u64>,
    /// The line with the names of the columns: its number, the text it begins with, or `none`.
    #[arg(long, value_name = "LINE|TEXT")]
    pub header: Option<Header>,
    /// Lines below the header that are no rows, such as units.
    #[arg(long, value_name = "LINES")]
    pub below_header: Option<u64>,
    /// Names of the columns, in place of a header, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub names: Vec<String>,
    /// What lines begin with that are no rows, such as `#`.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Columns of a fixed-width file: their first and last characters, such as `year=1-4,month=6-7`; may be given again.
    #[arg(long, value_name = "NAME=FIRST-LAST,…")]
    pub positions: Vec<String>,
}

impl TextArguments {
    /// Puts what is given in place of what `format` says.
    pub(crate) fn over(&self, format: &mut Format) -> Result<()> {
        format.delimiter = self.delimiter.or(format.delimiter);
        format.quote = self.quote.or(format.quote);
        format.encoding = self.encoding.or(format.encoding);
        format.decimal = self.decimal.or(format.decimal);
        format.skip = self.skip.unwrap_or(format.skip);
        format.header = self.header.clone().or(format.header.take());
        format.below_header = self.below_header.unwrap_or(format.below_header);
        if !self.names.is_empty() {
            format.names.clone_from(&self.names);
        }
        format.comment = self.comment.clone().or(format.comment.take());
        for text in &self.positions {
            format.position(text)?;
        }
        Ok(())
    }
}
