//! Predicates on page statistics: they skip pages, and only those that hold no match.

use super::*;

/// `column > above`.
#[derive(Debug)]
struct Above {
    columns: Vec<usize>,
    above: f64,
}

impl PagePredicate for Above {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn may_match(&self, page: &PageStats<'_>) -> bool {
        let column = page.column(self.columns[0]);
        assert!(page.rows() > 0 && column.nulls.is_some());
        match column.bounds {
            Some((_, PageValue::Float(max))) => max > self.above,
            Some(_) => panic!("a float column has float bounds"),
            None => column.nulls != Some(page.rows()),
        }
    }
}

#[tokio::test]
async fn pages_without_a_match_are_skipped() {
    let schema = schema(KeyType::Int32, &[("temperature", ValueType::Float32)]);
    let count = 60 * 200;
    // Temperature rises from key to key; the last fifty keys have none.
    let rows = batch(
        &schema,
        Arc::new((0..count).map(|row| row / 60).collect::<Int32Array>()),
        (0..count as i64).map(|row| HOUR_START + row % 60 * 60_000_000).collect(),
        vec![Arc::new(
            (0..count)
                .map(|row| (row < 60 * 150).then_some(row as f32 / 60.0))
                .collect::<arrow::array::Float32Array>(),
        )],
    );
    let layout = Layout { page_rows: 600, row_group_rows: 3_000, ..Layout::default() };
    let fixture = Fixture::new(&schema, &layout, std::slice::from_ref(&rows));
    let file = fixture.open().await.unwrap();
    let mut read = everything(&schema);
    assert_eq!(file.cost(&read).pages, 20 * 4);
    read.pages = Some(Arc::new(Above { columns: vec![2], above: 120.0 }));
    let cost = file.cost(&read);
    assert_eq!((cost.row_groups, cost.pages, cost.rows), (1, 3 * 4, 3 * 600));
    let found = file.read(&read).await.unwrap();
    assert_eq!(found, rows.slice(60 * 120, 60 * 30));
}
