//! The plan as text, as `EXPLAIN VERBOSE` and the action `plan` give it.

use std::fmt;

use barograph_lake::KeySelection;
use barograph_lake::file::ReadCost;

use super::{Plan, Source};

/// Lines that a printed plan has at most for its sources.
const PRINTED_SOURCES: usize = 48;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print_request(f)?;
        self.print_reads(f)?;
        for (at, source) in self.sources.iter().take(PRINTED_SOURCES).enumerate() {
            let costs = self.costs.as_ref().and_then(|costs| costs.get(at));
            print_source(source, costs.map(Vec::as_slice).unwrap_or_default(), f)?;
        }
        if self.sources.len() > PRINTED_SOURCES {
            writeln!(f, "  … and {} more", self.sources.len() - PRINTED_SOURCES)?;
        }
        Ok(())
    }
}

impl Plan {
    fn print_request(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        write!(f, "Scan {}", self.table().name())?;
        match self.snapshot {
            Some((version, _)) => writeln!(f, " at version {version}")?,
            None => writeln!(f)?,
        }
        match &request.keys {
            KeySelection::All => writeln!(f, "  keys      all")?,
            KeySelection::Range { from, to } => writeln!(f, "  keys      {from} to {to}")?,
            KeySelection::List(keys) if keys.len() <= 8 => writeln!(f, "  keys      {keys:?}")?,
            KeySelection::List(keys) => writeln!(f, "  keys      {} of them", keys.len())?,
        }
        let (from, to) = (request.time.from, request.time.to);
        writeln!(f, "  time      {from} to {to}")?;
        let schema = self.schema().map_err(|_| fmt::Error)?;
        let columns: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        writeln!(f, "  columns   {}", columns.join(", "))?;
        if let Some(filter) = &request.filter {
            writeln!(f, "  filter    {filter}")?;
        }
        if let Some(aggregation) = &request.aggregation {
            writeln!(f, "  windows   {aggregation}")?;
        }
        match request.limit {
            Some(limit) => writeln!(f, "  limit     {limit}"),
            None => Ok(()),
        }
    }

    fn print_reads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: usize = self.sources.iter().map(|source| source.files.len()).sum();
        let tail: usize = self.sources.iter().map(|source| source.tails.len()).sum();
        let of = self.snapshot.map_or(files, |(_, of)| of);
        let cost = self.cost();
        write!(f, "  reads     {files} of {of} files, {tail} hours of the tail, ")?;
        write!(f, "at most {} rows, {} bytes, in ", cost.rows, cost.bytes)?;
        match &self.slices {
            Some(_) => write!(f, "{} slices", self.slices_count())?,
            None => write!(f, "slices of about {} rows", self.slice_rows())?,
        }
        match self.partitions.len() {
            0 | 1 => writeln!(f),
            partitions => writeln!(f, " of {partitions} partitions"),
        }
    }
}

fn print_source(source: &Source, costs: &[ReadCost], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "  {}", source.period)?;
    for (at, file) in source.files.iter().enumerate() {
        write!(f, "  {}", file.path)?;
        if let Some(cost) = costs.get(at) {
            let ReadCost { row_groups, pages, rows, bytes } = cost;
            write!(f, " ({row_groups} row groups, {pages} pages, {rows} rows, {bytes} bytes)")?;
        }
    }
    if !source.tails.is_empty() {
        write!(f, "  tail ({} rows)", source.tail_rows())?;
    }
    writeln!(f)
}
