//! A table of weather, and entries for files that do not exist.

use barograph_lake::ColumnStats;
use barograph_lake::schema::TableDeclaration;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    FileEntry, FilePath, Hour, Key, LogPosition, Span, TableSchema, Timestamp, ValueColumn,
    ValueType,
};

/// Six values a minute.
pub(crate) fn schema() -> TableSchema {
    let columns = [
        ("temperature", ValueType::Float32),
        ("humidity", ValueType::Float32),
        ("pressure", ValueType::Float32),
        ("wind_speed", ValueType::Float32),
        ("wind_direction", ValueType::Int16),
        ("precipitation", ValueType::Float32),
    ];
    let columns = columns.map(|(name, value_type)| ValueColumn::new(name, value_type));
    let declaration = TableDeclaration::new("city_id", "reading_at").columns(columns);
    TableSchema::new("readings", declaration).unwrap()
}

/// The entry of the `n`-th hour, whose file nobody needs.
pub(crate) fn entry(n: i64) -> FileEntry {
    let hour = Hour::of(Timestamp::from_micros(n * MICROS_PER_HOUR)).unwrap();
    let times = (hour.start(), hour.end() - Span::MICROSECOND);
    let time = ColumnStats {
        min: Some(times.0.to_string().into()),
        max: Some(times.1.to_string().into()),
        nulls: 0,
    };
    let float = |n: i64| {
        let tenths = |t: i64| f64::from((t % 1_000) as f32 / 10.0);
        ColumnStats { min: Some((-tenths(n)).into()), max: Some(tenths(n).into()), nulls: 3 }
    };
    let integer =
        |a: i64, b: i64| ColumnStats { min: Some(a.into()), max: Some(b.into()), nulls: 0 };
    let mut columns = vec![integer(1, 15_000), time.clone()];
    columns.extend([float(n), float(n * 3), float(n * 7), float(n * 11)]);
    columns.extend([integer(0, 360), float(n * 13), time]);
    FileEntry {
        path: FilePath::new(hour, LogPosition::new(n as u64)),
        bytes: 5_000_000,
        rows: 900_000,
        keys: (Key::new(1), Key::new(15_000)),
        times,
        columns,
    }
}
