//! Rows in CSV: the first line names the columns.

use barograph_flight::{Error, Result};
use csv::StringRecord;

/// A reader of rows.
pub(crate) struct CsvRows<'a> {
    reader: csv::Reader<&'a [u8]>,
    names: Vec<String>,
}

impl<'a> CsvRows<'a> {
    /// Reads the names of the columns.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let names = reader.headers().map_err(|e| Error::request(format!("the first line: {e}")))?;
        let names: Vec<_> = names.iter().map(|name| name.trim().to_owned()).collect();
        match names.iter().all(String::is_empty) {
            false => Ok(Self { reader, names }),
            true => Err(Error::request(
                "the body is empty: write the names of columns in its first line",
            )),
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The next row with the number of its line, or what is wrong with it.
    pub(crate) fn next(&mut self) -> Option<(usize, Result<StringRecord, String>)> {
        let mut record = StringRecord::new();
        let read = self.reader.read_record(&mut record);
        let line = record.position().map_or(0, csv::Position::line) as usize;
        match read {
            Ok(false) => None,
            Ok(true) if record.len() != self.names.len() => {
                let count = self.names.len();
                let text = format!("the line has {} cells, the first line {count}", record.len());
                Some((line, Err(text)))
            }
            Ok(true) => Some((line, Ok(record))),
            Err(error) => {
                let line = error.position().map_or(line, |at| at.line() as usize);
                Some((line, Err(error.to_string())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_line_is_a_row_or_told() {
        let mut rows = CsvRows::open(b"a, b\n1,\"x\ny\"\n2\n3,z\n4,\xff\n5,w\n").unwrap();
        assert_eq!(rows.names(), ["a", "b"]);
        let mut next = || {
            let (line, row) = rows.next()?;
            Some((line, row.map(|row| row.iter().collect::<Vec<_>>().join("|"))))
        };
        assert_eq!(next(), Some((2, Ok("1|x\ny".to_owned()))));
        assert!(next().unwrap().1.unwrap_err().contains("1 cells"));
        assert_eq!(next(), Some((5, Ok("3|z".to_owned()))));
        assert!(next().unwrap().1.unwrap_err().contains("UTF-8"));
        assert_eq!(next(), Some((7, Ok("5|w".to_owned()))));
        assert_eq!(next(), None);
        assert!(CsvRows::open(b"").is_err());
    }
}
