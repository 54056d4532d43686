//! The parameters of a statement, bound as Arrow rows whose columns are the parameters in order; each row is one
//! execution.

use std::error::Error as StdError;

use arrow::array::{ArrayRef, RecordBatch, UnionArray};
use arrow::ipc::writer::StreamWriter;
use barograph_engine::internal::read_stream;
use barograph_query::ScalarValue;
use bytes::Bytes;

use crate::wire::{plain_batch, plain_schema};
use crate::{Error, Result};

/// A handle may carry so many rows, however few bytes they take.
const ROWS_MIN: usize = 1 << 16;

/// Rows as they travel in a handle.
pub(super) fn encode(batches: &[RecordBatch]) -> Result<Bytes> {
    let Some(first) = batches.first() else { return Ok(Bytes::new()) };
    let mut writer = StreamWriter::try_new(Vec::new(), first.schema_ref())?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?.into())
}

/// Rows from a handle.
pub(super) fn decode(bytes: &Bytes) -> Result<Vec<RecordBatch>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    // They travel unpacked, but a column of nulls takes no bytes for a row.
    let most = bytes.len().max(ROWS_MIN);
    let (_, rows) = read_stream(bytes, most)
        .map_err(|error| Error::request("bound parameters").with_source(error))?;
    Ok(rows)
}

/// Checks that `batches` have a column for each of `count` parameters.
///
/// # Errors
/// `Request` where they have not, or where nothing is bound though the statement has parameters.
pub(super) fn check(batches: &[RecordBatch], count: usize) -> Result<()> {
    let bound = batches.first().map_or(0, RecordBatch::num_columns);
    if bound == count {
        return Ok(());
    }
    let mend = if bound == 0 {
        "bind a value for each of them (a prepared statement takes values)"
    } else {
        "bind as many values as it has parameters ($1, $2 …)"
    };
    Err(Error::request(format!(
        "the statement has {count} parameter(s), {bound} value(s) were bound: {mend}"
    ))
    .with_sqlstate("07001"))
}

/// The rows of values, one execution each. No batch at all is one row without values.
pub(super) fn rows(
    batches: Vec<RecordBatch>,
) -> impl Iterator<Item = Result<Vec<ScalarValue>>> + Send {
    let alone = batches.is_empty().then(|| Ok(Vec::new()));
    let bound = batches.into_iter().flat_map(|batch| {
        let schema = plain_schema(&batch.schema());
        // A row at a time: plain values may be many times more than dictionaries and runs.
        (0..batch.num_rows()).map(move |row| {
            let plain = plain_batch(batch.slice(row, 1), &schema)?;
            values(&plain, row)
        })
    });
    alone.into_iter().chain(bound)
}

/// The values of the only row of `batch`, which is row `row` of all.
fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>> {
    let columns = batch.columns().iter().enumerate();
    columns
        .map(|(index, column)| {
            value(column).map_err(|e| {
                Error::request(format!("value ${} of row {row}", index + 1)).with_source(e)
            })
        })
        .collect()
}

/// One value. Some drivers put values of any type into one column, as a union.
fn value(column: &ArrayRef) -> Result<ScalarValue, Box<dyn StdError + Send + Sync>> {
    if let Some(union) = column.as_any().downcast_ref::<UnionArray>() {
        return Ok(ScalarValue::try_from_array(&union.value(0), 0)?);
    }
    Ok(ScalarValue::try_from_array(column, 0)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, StringViewArray};
    use arrow::buffer::ScalarBuffer;
    use arrow::datatypes::{DataType, Field, UnionFields};

    use super::*;

    fn batch(numbers: &[i64], texts: ArrayRef) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_from_iter([("1", numbers), ("2", texts)]).unwrap()
    }

    #[test]
    fn each_row_is_one_execution() {
        let first = batch(&[1, 2], Arc::new(StringArray::from(vec![Some("a"), None])));
        let second = batch(&[3], Arc::new(StringArray::from(vec!["c"])));
        let bytes = encode(&[first, second]).unwrap();
        let rows: Vec<_> = rows(decode(&bytes).unwrap()).map(Result::unwrap).collect();
        let text = |text: Option<&str>| ScalarValue::Utf8(text.map(str::to_owned));
        assert_eq!(rows[0], [ScalarValue::Int64(Some(1)), text(Some("a"))]);
        assert_eq!(rows[1], [ScalarValue::Int64(Some(2)), text(None)]);
        assert_eq!(rows[2], [ScalarValue::Int64(Some(3)), text(Some("c"))]);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn nothing_bound_is_one_execution_and_no_rows_are_none() {
        assert_eq!(decode(&encode(&[]).unwrap()).unwrap(), []);
        assert_eq!(rows(Vec::new()).map(Result::unwrap).collect::<Vec<_>>(), [Vec::new()]);
        let none = batch(&[], Arc::new(StringArray::from(Vec::<&str>::new())));
        assert_eq!(rows(vec![none]).count(), 0);
    }

    #[test]
    fn views_become_plain_values() {
        let views = batch(&[1], Arc::new(StringViewArray::from(vec!["a"])));
        let rows: Vec<_> = rows(vec![views]).map(Result::unwrap).collect();
        assert_eq!(rows[0][1], ScalarValue::Utf8(Some("a".to_owned())));
    }

    #[test]
    fn a_union_is_the_value_in_it() {
        let ids = ScalarBuffer::from(vec![1_i8, 0]);
        let children: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![7])), Arc::new(StringArray::from(vec!["a"]))];
        let fields = UnionFields::from_fields(vec![
            Field::new("i", DataType::Int64, true),
            Field::new("s", DataType::Utf8, true),
        ]);
        let offsets = Some(ScalarBuffer::from(vec![0, 0]));
        let union: ArrayRef =
            Arc::new(UnionArray::try_new(fields, ids, offsets, children).unwrap());
        let rows = rows(vec![RecordBatch::try_from_iter([("1", union)]).unwrap()]);
        let rows: Vec<_> = rows.map(Result::unwrap).collect();
        assert_eq!(rows[0], [ScalarValue::Utf8(Some("a".to_owned()))]);
        assert_eq!(rows[1], [ScalarValue::Int64(Some(7))]);
    }

    #[test]
    fn a_wrong_number_of_values_is_told() {
        let two = [batch(&[1], Arc::new(StringArray::from(vec!["a"])))];
        check(&two, 2).unwrap();
        check(&[], 0).unwrap();
        let error = check(&two, 3).unwrap_err().to_string();
        assert!(error.contains("has 3 parameter(s), 2 value(s)"), "{error}");
        let error = check(&[], 1).unwrap_err().to_string();
        assert!(error.contains("prepared statement"), "{error}");
    }
}
