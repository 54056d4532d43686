//! Tests of newest rows: they are right whether they are read from the lake, kept in memory, or replaced by late ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};

use super::guard::until;
use super::*;

type Newest = BTreeMap<i32, (i64, Option<f32>)>;

impl Fixture {
    fn knows_last_rows(&self) -> bool {
        let view = self.engine.view("readings").unwrap();
        self.engine.knows_newest("readings", &view).unwrap()
    }

    fn expected(&self) -> Newest {
        let rows = self.model.iter();
        rows.map(|(&(city, at), row)| (city, (at, row.temperature))).collect()
    }

    async fn newest(&self, condition: &str) -> Newest {
        let columns = "city_id, reading_at, temperature";
        let rows = self.ask(&format!("select {columns} from latest('readings') {condition}")).await;
        let cities = rows.column(0).as_primitive::<Int32Type>();
        let times = rows.column(1).as_primitive::<TimestampMicrosecondType>();
        let temperatures = rows.column(2).as_primitive::<Float32Type>();
        let row = |i| (cities.value(i), (times.value(i), temperatures.iter().nth(i).flatten()));
        let newest: Newest = (0..rows.num_rows()).map(row).collect();
        assert_eq!(newest.len(), rows.num_rows(), "a city has one newest row");
        newest
    }

    async fn check(&self, when: &str) {
        let all = self.expected();
        assert_eq!(self.newest("").await, all, "all, {when}");
        for some in [&[7][..], &[3, 50, 99, 1_000_000][..]] {
            let list = some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let mut expected = all.clone();
            expected.retain(|city, _| some.contains(city));
            let newest = self.newest(&format!("where city_id in ({list})")).await;
            assert_eq!(newest, expected, "{list}, {when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newest_rows_are_right_in_the_tail_in_the_lake_and_kept() {
    let mut fixture = Fixture::new().await;
    fixture.check("in the tail").await;
    fixture.engine.flush().await.unwrap();
    fixture.check("in the lake").await;
    until("the last rows are known", || fixture.knows_last_rows()).await;
    fixture.check("kept").await;

    let mut rng = SmallRng::seed_from_u64(11);
    let newest = fixture.expected();
    let hour_end = START + HOURS * 60 * MINUTE;
    let later = hour_end - 1;
    let changed = [(7, newest[&7].0), (50, later)];
    fixture.put(changed.map(|key| (key, row(&mut rng, key.1))).to_vec()).await;
    fixture.check("with late rows of the newest hour").await;
    fixture.engine.flush().await.unwrap();
    assert!(!fixture.knows_last_rows(), "the file was replaced");
    fixture.check("after the late rows landed").await;
    until("the last rows of the new file are known", || fixture.knows_last_rows()).await;
    fixture.check("kept again").await;
}
