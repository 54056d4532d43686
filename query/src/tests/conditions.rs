//! Tests of three-valued logic: random conditions over columns with nulls, held against a naive model with three
//! values, run by the server and by DataFusion without any of its rules.

use arrow::array::{Array, AsArray};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use super::*;

/// A condition as text, and its value in a row.
struct Condition {
    text: String,
    worth: Worth,
}

type Worth = Box<dyn Fn(&Row) -> Option<bool>>;

fn of(text: String, worth: impl Fn(&Row) -> Option<bool> + 'static) -> Condition {
    Condition { text, worth: Box::new(worth) }
}

fn and(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn not(a: Option<bool>) -> Option<bool> {
    a.map(|a| !a)
}

fn or(a: Option<bool>, b: Option<bool>) -> Option<bool> {
    not(and(not(a), not(b)))
}

const NOTES: [&str; 5] = ["calm", "gusts", "fog", "Zürich", "hail"];

struct Conditions(SmallRng);

impl Conditions {
    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.0.random_range(0..list.len())]
    }

    /// A whole-number column of a row, by name.
    fn number(&mut self) -> (&'static str, fn(&Row) -> Option<i64>) {
        match self.0.random_range(0..3) {
            0 => ("wind_direction % 4", |row| row.direction.map(|of| i64::from(of % 4))),
            1 => ("flashes % 3", |row| row.count.map(|of| of % 3)),
            _ => ("flashes", |row| row.count),
        }
    }

    fn items(&mut self) -> Vec<Option<i64>> {
        let count = self.one(&[1, 2, 2, 3, 5]);
        let null = self.0.random_bool(0.25);
        let mut items: Vec<_> = (0..count).map(|_| Some(self.0.random_range(-2..6))).collect();
        items.extend(null.then_some(None));
        items
    }

    fn leaf(&mut self) -> Condition {
        let (name, value) = self.number();
        let least = self.0.random_range(-2..6_i64);
        match self.0.random_range(0..10) {
            0..=2 => self.list(name, value),
            3 => of(format!("{name} = {least}"), move |row| value(row).map(|of| of == least)),
            4 => of(format!("{least} < {name}"), move |row| value(row).map(|of| least < of)),
            5 => {
                let most = least + self.0.random_range(-1..3);
                of(format!("{name} BETWEEN {least} AND {most}"), move |row| {
                    value(row).map(|of| (least..=most).contains(&of))
                })
            }
            6 => of(format!("{name} IS NULL"), move |row| Some(value(row).is_none())),
            7 => {
                // A list of what is computed.
                let (other, that) = self.number();
                let text = format!("{name} IN ({least}, {other})");
                of(text, move |row| {
                    let equal = value(row).zip(that(row)).map(|(a, b)| a == b);
                    or(value(row).map(|of| of == least), equal)
                })
            }
            8 => {
                let (a, b) = (self.one(&NOTES), self.one(&NOTES));
                let told = move |row: &Row, is: &dyn Fn(&str) -> bool| row.note.as_deref().map(is);
                match self.0.random_range(0..4) {
                    0 => of("note ~ '.*'".to_owned(), move |row| told(row, &|_| true)),
                    1 => of(format!("note ~ '^({a}|{b})$'"), move |row| {
                        told(row, &|note| note == a || note == b)
                    }),
                    2 => of(format!("note LIKE '%{a}%'"), move |row| {
                        told(row, &|note| note.contains(a))
                    }),
                    _ => of(format!("note NOT IN ('{a}', '{b}')"), move |row| {
                        told(row, &|note| note != a && note != b)
                    }),
                }
            }
            _ => self.one_of_three(),
        }
    }

    fn list(&mut self, name: &str, value: fn(&Row) -> Option<i64>) -> Condition {
        let items = self.items();
        let negated = self.0.random_bool(0.4);
        let shown = |item: &Option<i64>| item.map_or("NULL".to_owned(), |item| item.to_string());
        let shown: Vec<_> = items.iter().map(shown).collect();
        let word = if negated { "NOT IN" } else { "IN" };
        of(format!("{name} {word} ({})", shown.join(", ")), move |row| {
            let equal = |item: &Option<i64>| value(row).zip(*item).map(|(a, b)| a == b);
            let among = items.iter().map(equal).fold(Some(false), or);
            if negated { not(among) } else { among }
        })
    }

    fn one_of_three(&mut self) -> Condition {
        match self.0.random_range(0..3) {
            0 => of("TRUE".to_owned(), |_| Some(true)),
            1 => of("FALSE".to_owned(), |_| Some(false)),
            _ => of("CAST(NULL AS BOOLEAN)".to_owned(), |_| None),
        }
    }

    fn condition(&mut self, depth: u32) -> Condition {
        if depth == 0 {
            return self.leaf();
        }
        let depth = depth - 1;
        match self.0.random_range(0..9) {
            0..=2 => {
                let (a, b) = (self.condition(depth), self.condition(depth));
                of(format!("({} AND {})", a.text, b.text), move |row| {
                    and((a.worth)(row), (b.worth)(row))
                })
            }
            3..=5 => {
                let (a, b) = (self.condition(depth), self.condition(depth));
                of(format!("({} OR {})", a.text, b.text), move |row| {
                    or((a.worth)(row), (b.worth)(row))
                })
            }
            6 => {
                let a = self.condition(depth);
                of(format!("(NOT {})", a.text), move |row| not((a.worth)(row)))
            }
            7 => {
                let (when, then) = (self.condition(depth), self.condition(depth));
                let other = self.condition(depth);
                let text =
                    format!("(CASE WHEN {} THEN {} ELSE {} END)", when.text, then.text, other.text);
                of(text, move |row| match (when.worth)(row) {
                    Some(true) => (then.worth)(row),
                    _ => (other.worth)(row),
                })
            }
            _ => {
                let a = self.condition(depth);
                match self.0.random_range(0..4) {
                    0 => of(format!("(({}) IS NULL)", a.text), move |row| {
                        Some((a.worth)(row).is_none())
                    }),
                    1 => of(format!("(({}) IS NOT TRUE)", a.text), move |row| {
                        Some((a.worth)(row) != Some(true))
                    }),
                    2 => of(format!("(({}) IS FALSE)", a.text), move |row| {
                        Some((a.worth)(row) == Some(false))
                    }),
                    _ => {
                        let b = self.condition(depth);
                        of(format!("(({}) IS DISTINCT FROM ({}))", a.text, b.text), move |row| {
                            Some((a.worth)(row) != (b.worth)(row))
                        })
                    }
                }
            }
        }
    }
}

/// DataFusion without its rules over the same rows.
fn without_rules(fixture: &Fixture) -> SessionContext {
    let state =
        SessionStateBuilder::new().with_default_features().with_optimizer_rules(Vec::new()).build();
    let context = SessionContext::new_with_state(state);
    let rows: Vec<_> = fixture.model.clone().into_iter().collect();
    let rows = batch(&rows);
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    context.register_table("readings", Arc::new(table)).unwrap();
    context
}

fn flags(rows: &RecordBatch) -> Vec<Option<bool>> {
    let column = rows.columns().last().unwrap();
    if column.data_type() == &arrow::datatypes::DataType::Null {
        return vec![None; column.len()];
    }
    column.as_boolean().iter().collect()
}

async fn compare(seed: u64, count: usize) {
    let fixture = Fixture::new().await;
    let plain = without_rules(&fixture);
    let mut conditions = Conditions(SmallRng::seed_from_u64(seed));
    let some: Vec<_> = fixture.model.iter().filter(|((city, _), _)| *city < 7).collect();
    for number in 0..count {
        let Condition { text, worth } = conditions.condition(3);
        let expected: Vec<_> = some.iter().map(|(_, row)| worth(row)).collect();
        let who = format!("seed {seed}, number {number}: {text}");
        let asked = format!(
            "SELECT city_id, reading_at, {text} AS c FROM readings WHERE city_id < 7 ORDER BY 1, 2"
        );
        assert_eq!(flags(&fixture.ask(&asked).await), expected, "{who}");
        if number % 8 == 0 {
            let batches = plain.sql(&asked).await.unwrap().collect().await.unwrap();
            let schema = batches[0].schema();
            let rows = concat_batches(&schema, &batches).unwrap();
            assert_eq!(flags(&rows), expected, "without rules, {who}");
        }
        for (kept, wanted) in [
            (text.clone(), Some(true)),
            (format!("NOT {text}"), Some(false)),
            (format!("({text}) IS NULL"), None),
        ] {
            let asked = format!("SELECT count(*) FROM readings WHERE {kept}");
            let expected = fixture.model.values().filter(|row| worth(row) == wanted).count();
            assert_eq!(fixture.lines(&asked).await, [expected.to_string()], "{who}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_conditions_have_three_values() {
    let seed = std::env::var("BAROGRAPH_SEED").ok().and_then(|seed| seed.parse().ok());
    let count = std::env::var("BAROGRAPH_QUERIES").ok().and_then(|count| count.parse().ok());
    compare(seed.unwrap_or(1), count.unwrap_or(120)).await;
}

/// An instant between two µs equals that of no row, and separates those before it from those after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instants_between_two_micros_are_compared_as_they_are() {
    let fixture = Fixture::new().await;
    let between = "to_timestamp('2026-01-01T00:30:00.0000005Z')";
    let before = "TIMESTAMP '2026-01-01 00:30:00Z'";
    let same = [
        ("{t} = {b}", "false AND {t} IS NOT NULL"),
        ("{t} <> {b}", "{t} IS NOT NULL"),
        ("{t} < {b}", "{t} <= {m}"),
        ("{t} <= {b}", "{t} <= {m}"),
        ("{t} > {b}", "{t} > {m}"),
        ("{t} >= {b}", "{t} > {m}"),
        ("{b} = {t}", "false"),
        ("{b} < {t}", "{t} > {m}"),
        ("{b} >= {t}", "{t} <= {m}"),
        ("{t} IS DISTINCT FROM {b}", "true"),
        ("{t} IS NOT DISTINCT FROM {b}", "false"),
        (
            "{t} BETWEEN {b} AND {m} + INTERVAL '1 hour'",
            "{t} > {m} AND {t} <= {m} + INTERVAL '1 hour'",
        ),
        ("{t} BETWEEN {m} AND {b}", "{t} = {m}"),
        ("{t} NOT BETWEEN {m} AND {b}", "{t} <> {m}"),
        ("{t} IN ({b}, {m})", "{t} = {m}"),
        ("{t} IN ({b})", "false"),
        ("{t} NOT IN ({b}, {m})", "{t} <> {m}"),
        ("({t} = {b}) IS NULL", "{t} IS NULL"),
        ("({t} IN ({b}, {b})) IS NULL", "{t} IS NULL"),
        ("NOT ({t} = {b})", "{t} IS NOT NULL"),
        ("{t} > {b} - INTERVAL '0 hours'", "{t} > {m}"),
    ];
    for time in ["reading_at", "seen_at", "date_trunc('minute', seen_at)"] {
        for (text, meant) in same {
            let count = |condition: &str| {
                let condition =
                    condition.replace("{t}", time).replace("{b}", between).replace("{m}", before);
                format!("SELECT count(*) FROM readings WHERE {condition}")
            };
            let (asked, expected) = (count(text), count(meant));
            let (asked, expected) = (fixture.ask(&asked).await, fixture.ask(&expected).await);
            assert_eq!(lines(&asked), lines(&expected), "{time}: {text}");
        }
    }
}
