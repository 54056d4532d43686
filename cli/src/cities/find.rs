//! The lookup of cities: which city a name on the command line means.
//!
//! ```text
//! 2988507                     an id is taken as it is
//! Paris   paris               the one city of that name, whatever its case and accents
//! Springfield                 several: an error that lists them
//! Springfield,MO  London,CA   narrowed by country, by first-level division, or by both
//! Pariss                      none: an error that suggests near names
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;

use barograph_lake::Key;

use super::fold::{distance, fold};
use super::{Cities, City};
use crate::{Error, Result};

/// Choices that an error lists at most.
const CHOICES: usize = 12;
/// Suggestions that an error makes at most.
const SUGGESTIONS: usize = 5;

impl Cities {
    /// The key that `text` means: an id, or the name of one city.
    pub(crate) fn key(&self, text: &str) -> Result<Key> {
        match text.trim().parse::<Key>() {
            Ok(id) => Ok(id),
            Err(_) => self.find(text).map(|city| Key::from(city.id)),
        }
    }

    /// The one city that `text` names.
    pub(crate) fn find(&self, text: &str) -> Result<&City> {
        let text = text.trim();
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let narrowed: Vec<_> = parts.filter(|part| !part.is_empty()).collect();

        // Some names carry a comma themselves ("Misato, Saitama").
        let whole = self.named(text);
        if !narrowed.is_empty() && whole.is_empty() {
            let named = self.named(name);
            if named.is_empty() {
                return Err(self.unknown(text, name));
            }
            let fitting: Vec<_> = named
                .iter()
                .copied()
                .filter(|city| {
                    narrowed.iter().all(|part| {
                        part.eq_ignore_ascii_case(&city.country)
                            || part.eq_ignore_ascii_case(&city.admin)
                    })
                })
                .collect();
            if fitting.is_empty() {
                let places = narrowed.join(", ");
                return Err(Error::usage(format!(
                    "no {name} in {places}; there {}\n{}",
                    if named.len() == 1 { "is" } else { "are" },
                    choices(&named)
                )));
            }
            return one(text, name, &fitting);
        }
        if whole.is_empty() {
            return Err(self.unknown(text, text));
        }
        one(text, text, &whole)
    }

    /// The cities whose name folds to the same text as `name`, most populous first.
    fn named(&self, name: &str) -> Vec<&City> {
        let by_name = self.by_name.get_or_init(|| {
            let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
            for (i, city) in self.cities.iter().enumerate() {
                by_name.entry(fold(&city.name)).or_default().push(i);
            }
            by_name
        });
        let found = by_name.get(&fold(name)).map(Vec::as_slice).unwrap_or_default();
        let mut cities: Vec<_> = found.iter().filter_map(|&i| self.cities.get(i)).collect();
        cities.sort_by_key(|city| -city.population);
        cities
    }

    fn unknown(&self, text: &str, name: &str) -> Error {
        let wanted = fold(name);
        let far = (wanted.chars().count() / 4).clamp(1, 3);
        let mut near: Vec<(usize, i64, &City)> = self
            .cities
            .iter()
            .filter_map(|city| {
                let folded = fold(&city.name);
                let away = if wanted.len() >= 3 && folded.starts_with(&wanted) {
                    0
                } else if folded.len().abs_diff(wanted.len()) <= 2 * far {
                    distance(&wanted, &folded)
                } else {
                    usize::MAX
                };
                (away <= far).then_some((away, -city.population, city))
            })
            .collect();
        near.sort_by_key(|&(away, population, _)| (away, population));
        near.truncate(SUGGESTIONS);
        let near: Vec<_> = near.into_iter().map(|(_, _, city)| city).collect();
        if near.is_empty() {
            return Error::usage(format!(
                "no city {text:?} among the {} built-in ones; give its GeoNames id, or a name like Paris or \"Springfield,MO\"",
                self.cities.len()
            ));
        }
        Error::usage(format!("no city {text:?}; did you mean\n{}", choices(&near)))
    }
}

fn one<'a>(text: &str, name: &str, found: &[&'a City]) -> Result<&'a City> {
    if let [city] = found {
        return Ok(city);
    }
    let mut exact = found.iter().filter(|city| city.name == name);
    if let (Some(city), None) = (exact.next(), exact.next()) {
        return Ok(city);
    }
    let first = found.first().map(|city| format!("{name},{},{}", city.country, city.admin));
    Err(Error::usage(format!(
        "{text:?} is the name of {} cities; narrow it (like {:?}) or give the id\n{}",
        found.len(),
        first.unwrap_or_default(),
        choices(found)
    )))
}

fn choices(cities: &[&City]) -> String {
    let mut text = format!(
        "  {:<28} {:<8} {:<8} {:>11}  {:>9}",
        "name", "country", "division", "population", "id"
    );
    for city in cities.iter().take(CHOICES) {
        let _ = write!(
            text,
            "\n  {:<28} {:<8} {:<8} {:>11}  {:>9}",
            city.name, city.country, city.admin, city.population, city.id
        );
    }
    if cities.len() > CHOICES {
        let _ = write!(text, "\n  and {} more", cities.len() - CHOICES);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn cities() -> &'static Cities {
        Cities::built_in().unwrap()
    }

    fn message(text: &str) -> String {
        cities().find(text).unwrap_err().to_string()
    }

    #[test]
    fn every_built_in_name_folds_to_ascii_and_finds_itself() {
        let cities = cities();
        assert_eq!(cities.all().len(), 15_000);
        for city in cities.all() {
            assert!(fold(&city.name).is_ascii(), "{} folds to {}", city.name, fold(&city.name));
            assert!(
                cities.named(&city.name).iter().any(|found| found.id == city.id),
                "{}",
                city.name
            );
            assert_eq!(cities.get(Key::from(city.id)), Some(city));
        }
    }

    #[test]
    fn a_single_city_is_found_whatever_its_case_and_accents() {
        for (text, id) in [
            ("Paris", 2988507),
            ("paris", 2988507),
            ("TOKYO", 1850147),
            ("Paris,FR", 2988507),
            ("paris, fr", 2988507),
            ("Misato, Saitama", 6822137),
            ("London,GB", 2643743),
            ("London, CA", 6058560),
            ("Springfield,US,MO", 4409896),
            ("springfield,mo", 4409896),
            ("zurich", 2657896),
        ] {
            assert_eq!(cities().find(text).unwrap().id, id, "{text}");
        }
        assert_eq!(cities().key(" 5128581 ").unwrap(), Key::new(5128581));
        assert_eq!(cities().key("42").unwrap(), Key::new(42));
    }

    #[test]
    fn an_ambiguous_name_lists_the_choices() {
        let error = message("Springfield");
        for part in ["5 cities", "Springfield,US,MO", "4951788", "OH", "170188"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert_eq!(cities().find("Springfield").unwrap_err().exit_code(), 2);
        assert!(message("London").contains("2643743"));
    }

    #[test]
    fn the_exact_spelling_wins_over_folded_ones() {
        let csv = "city_id,name,country,admin1,latitude,longitude,population,timezone,elevation\n\
                   1,San Jose,US,CA,1,1,10,x,\n2,San José,CR,08,1,1,20,x,9\n3,Sãn Jose,XX,,1,1,30,x,-2\n";
        let cities = Cities::parse(csv).unwrap();
        assert_eq!(cities.find("San José").unwrap().id, 2);
        assert_eq!(cities.find("San Jose").unwrap().id, 1);
        assert!(cities.find("san jose").is_err());
        assert_eq!(cities.find("san jose, xx").unwrap().id, 3);
    }

    #[test]
    fn an_unknown_name_suggests_near_ones() {
        assert!(message("Toyko").contains("1850147"), "{}", message("Toyko"));
        assert!(message("New York").contains("New York City"), "{}", message("New York"));
        assert!(
            message("Paris,US").contains("no Paris in US; there is"),
            "{}",
            message("Paris,US")
        );
        assert!(message("Qqqqqqqq").contains("GeoNames id"));
    }

    #[test]
    fn the_largest_cities_come_in_order_of_id() {
        let largest = cities().largest(100);
        assert_eq!(largest.len(), 100);
        assert!(largest.is_sorted_by_key(|city| city.id));
        assert!(largest.iter().any(|city| city.name == "Tokyo"));
        assert!(largest.iter().all(|city| city.population > 2_000_000));
    }
}
