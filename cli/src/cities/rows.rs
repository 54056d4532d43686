//! The cities as rows for statements, ascending by id.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::{Cities, City};
use crate::Result;

impl Cities {
    /// The cities as rows: `city_id`, `name`, `country`, `admin1`, `latitude`, `longitude`, `population`,
    /// `timezone`, none of them null.
    pub(crate) fn rows(&self) -> Result<RecordBatch> {
        let field = |name: &str, kind| Field::new(name, kind, false);
        let schema = Schema::new(vec![
            field("city_id", DataType::Int32),
            field("name", DataType::Utf8),
            field("country", DataType::Utf8),
            field("admin1", DataType::Utf8),
            field("latitude", DataType::Float64),
            field("longitude", DataType::Float64),
            field("population", DataType::Int64),
            field("timezone", DataType::Utf8),
        ]);
        let all = self.all();
        let texts = |text: fn(&City) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(all.iter().map(text)))
        };
        let numbers = |number: fn(&City) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(all.iter().map(number)))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(all.iter().map(|city| city.id))),
            texts(|city| &city.name),
            texts(|city| &city.country),
            texts(|city| &city.admin),
            numbers(|city| city.latitude),
            numbers(|city| city.longitude),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|city| city.population))),
            texts(|city| &city.timezone),
        ];
        Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
    }
}
