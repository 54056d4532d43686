//! The arguments that describe a text file, the same as in `[format]` of a mapping file.

use barograph_jobs::import::{Decimal, Delimiter, Encoding, Format, Header, Quote};
use clap::Args;

use crate::Result;

/// How the lines of a text file become rows.
#[derive(Debug, Args)]
#[command(next_help_heading = "Text files")]
pub(crate) struct TextArguments {
    /// Delimiter of fields: a character, `tab`, or `whitespace` for any run of spaces and tabs.
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<Delimiter>,
    /// Quote around fields that contain delimiters: a character, or `none`.
    #[arg(long, value_name = "CHARACTER")]
    pub quote: Option<Quote>,
    /// Character encoding, such as `latin-1` or `utf-16le`; UTF-8 if absent.
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<Encoding>,
    /// Decimal separator of numbers: `.` or `,`.
    #[arg(long, value_name = "CHARACTER")]
    pub decimal: Option<Decimal>,
    /// Number of lines to skip at the beginning.
    #[arg(long, value_name = "LINES")]
    pub skip: Option<u64>,
    /// Header line with the names of the columns: its number, the text it begins with, or `none`.
    #[arg(long, value_name = "LINE|TEXT")]
    pub header: Option<Header>,
    /// Number of lines below the header that are not rows, such as units.
    #[arg(long, value_name = "LINES")]
    pub below_header: Option<u64>,
    /// Names of the columns, instead of a header, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub names: Vec<String>,
    /// Text that comment lines begin with, such as `#`.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Columns of a fixed-width file, by the positions of their first and last characters, such as
    /// `year=1-4,month=6-7`. Repeatable.
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
