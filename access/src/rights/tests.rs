//! The decision, held against what each grant gives by itself.

use std::sync::Arc;

use barograph_lake::Key;
use proptest::prelude::*;

use super::*;

fn grant(verbs: &[Verb], tables: &[&str]) -> Grant {
    Grant {
        verbs: verbs.to_vec(),
        tables: tables.iter().map(|of| TablePattern::new(*of)).collect(),
        columns: None,
        keys: None,
        filter: None,
    }
}

fn key(from: i64, to: i64) -> KeyRange {
    KeyRange { from: Key::new(from), to: Key::new(to) }
}

/// Conditions of the model: what row they let through is told by their text.
const FILTERS: [&str; 2] = ["low", "even"];

/// A row: its key, and whether it meets each condition.
type Row = (i64, [bool; 2]);

fn meets(filters: &[Arc<str>], row: Row) -> bool {
    filters.iter().all(|filter| {
        FILTERS.iter().zip(row.1).find(|(name, _)| **name == &**filter).is_some_and(|of| of.1)
    })
}

fn shows(allowed: &Allowed, column: &str, row: Row) -> bool {
    let rows = match &allowed.rows {
        Rows::All => true,
        Rows::Some(rules) => rules.iter().any(|rule| {
            rule.keys.as_ref().is_none_or(|keys| keys.contains(Key::new(row.0)))
                && meets(&rule.filters, row)
        }),
    };
    rows && allowed.columns.as_ref().is_none_or(|columns| columns.contains(column))
}

fn gives(grant: &Grant, verb: Verb, table: &str, column: &str, row: Row) -> bool {
    let filters: Vec<Arc<str>> = grant.filter.iter().map(|of| of.as_str().into()).collect();
    grant.verbs.contains(&Verb::Admin)
        || grant.verbs.contains(&verb)
            && grant.tables.iter().any(|of| of.matches(table))
            && grant.columns.as_ref().is_none_or(|of| of.iter().any(|name| name == column))
            && grant.keys.as_ref().is_none_or(|of| {
                of.iter().any(|range| range.from.get() <= row.0 && row.0 <= range.to.get())
            })
            && meets(&filters, row)
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let table = prop_oneof![Just("a"), Just("b"), Just("*"), Just("a*")];
    let verbs = prop_oneof![
        4 => Just(vec![Verb::Read]),
        1 => Just(vec![Verb::Write]),
        1 => Just(vec![Verb::Read, Verb::Write]),
    ];
    let columns = proptest::option::of(proptest::sample::subsequence(vec!["x", "y", "z"], 0..3));
    let keys = proptest::option::of(proptest::collection::vec((0_i64..6, 0_i64..3), 1..3));
    let filter = proptest::option::of(proptest::sample::select(FILTERS.to_vec()));
    let one =
        (verbs, table, columns, keys, filter).prop_map(|(verbs, table, columns, keys, filter)| {
            Grant {
                columns: columns.map(|of| of.into_iter().map(str::to_owned).collect()),
                keys: keys.map(|of| of.into_iter().map(|(from, n)| key(from, from + n)).collect()),
                filter: filter.map(str::to_owned),
                ..grant(&verbs, &[table])
            }
        });
    proptest::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn no_value_is_shown_that_no_single_grant_gives(
        grants in grants(),
        within in proptest::option::of((0_i64..5, 0_i64..4, proptest::option::of(0_usize..2))),
    ) {
        let rule = within.map(|(from, length, filter)| RowRule {
            keys: Some(KeyRanges::new([key(from, from + length)])),
            filters: filter.map(|at| Arc::from(FILTERS[at])).into_iter().collect(),
        });
        let rights = Rights::new(grants.clone(), rule.clone());
        for verb in [Verb::Read, Verb::Write, Verb::Delete] {
            for table in ["a", "b", "dead_letters"] {
                let decision = rights.decide(verb, table);
                let about = grants.iter().filter(|of| of.is_about(verb, table)).count();
                if about == 0 {
                    prop_assert_eq!(&decision, &Decision::Deny);
                }
                for at in 0..8 * 4 {
                    let row = (at / 4, [at & 1 != 0, at & 2 != 0]);
                    let inside = rule.as_ref().is_none_or(|rule| {
                        rule.keys.as_ref().unwrap().contains(Key::new(row.0))
                            && meets(&rule.filters, row)
                    });
                    for column in ["x", "y", "z"] {
                        let given = grants.iter().any(|of| gives(of, verb, table, column, row));
                        let shown = match &decision {
                            Decision::Deny => false,
                            Decision::Allow(allowed) => shows(allowed, column, row),
                        };
                        prop_assert!(!shown || (given && inside), "{verb} {table} {column} {row:?}");
                        // A single grant is carried out as it is written.
                        if about == 1 && !(rule.as_ref().is_some_and(|of| !of.filters.is_empty()) && verb != Verb::Read) {
                            prop_assert_eq!(shown, given && inside);
                        }
                    }
                }
            }
        }
        for verb in [Verb::Jobs, Verb::Observe, Verb::Peer, Verb::Admin] {
            prop_assert!(!rights.may(verb));
        }
    }
}

#[test]
fn several_grants_add_up_without_mixing() {
    let with = |columns: &[&str], keys: &[KeyRange]| Grant {
        columns: Some(columns.iter().map(|of| (*of).to_owned()).collect()),
        keys: (!keys.is_empty()).then(|| keys.to_vec()),
        ..grant(&[Verb::Read], &["a"])
    };
    let decide = |grants: Vec<Grant>| match Rights::new(grants, None).decide(Verb::Read, "a") {
        Decision::Allow(allowed) => allowed,
        Decision::Deny => panic!("denied"),
    };
    let columns = |allowed: &Allowed| -> Vec<String> {
        allowed.columns.clone().unwrap().into_iter().collect()
    };
    let same_rows = decide(vec![with(&["x"], &[]), with(&["y"], &[])]);
    assert_eq!(columns(&same_rows), ["x", "y"]);
    let other_rows = decide(vec![with(&["x", "y"], &[key(1, 1)]), with(&["y"], &[key(2, 2)])]);
    assert_eq!(columns(&other_rows), ["y"]);
    assert_eq!(other_rows.keys(), Some(KeyRanges::new([key(1, 2)])));
    let all = decide(vec![with(&["x"], &[key(1, 1)]), grant(&[Verb::Read], &["*"])]);
    assert!(all.is_everything());
}

#[test]
fn an_administrator_may_everything_and_a_narrowed_one_nothing_of_the_server() {
    let all = Rights::everything();
    for verb in [Verb::Jobs, Verb::Observe, Verb::Peer, Verb::Admin] {
        assert!(all.may(verb));
    }
    assert_eq!(all.decide(Verb::Read, "dead_letters"), Decision::Allow(Allowed::ALL));
    assert!(!all.may(Verb::Read), "that is about a table");
    let rule = RowRule { keys: Some(KeyRanges::new([key(1, 1)])), filters: Vec::new() };
    let narrowed = Rights::new(vec![Grant::everything()], Some(rule));
    assert!(!narrowed.may(Verb::Admin) && !narrowed.is_everything());
    let Decision::Allow(allowed) = narrowed.decide(Verb::Delete, "a") else { panic!("denied") };
    assert_eq!(allowed.keys(), Some(KeyRanges::new([key(1, 1)])));
}

#[test]
fn what_could_not_be_carried_out_is_refused() {
    let read = || grant(&[Verb::Read], &["a"]);
    read().check().unwrap();
    grant(&[Verb::Observe, Verb::Jobs], &[]).check().unwrap();
    for (grant, expected) in [
        (grant(&[], &["a"]), "verbs is empty"),
        (grant(&[Verb::Read], &[]), "tables is empty"),
        (grant(&[Verb::Read, Verb::Observe], &["a"]), "two grants"),
        (grant(&[Verb::Observe], &["a"]), "whole server"),
        (Grant { columns: Some(Vec::new()), ..grant(&[Verb::Write], &["a"]) }, "whole"),
        (
            Grant { filter: Some("x > 1".into()), ..grant(&[Verb::Read, Verb::Delete], &["a"]) },
            "whole",
        ),
        (Grant { filter: Some(" ".into()), ..read() }, "filter is empty"),
    ] {
        let error = grant.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
