//! Commands: statements about the session, which are answered here, told apart from those that are planned.

use crate::catalog::{Token, TokenKind, tokens};
use crate::failure::{Failure, Result, UNSUPPORTED};

const SYNTAX: &str = "42601";
/// Tokens at the beginning that are looked at.
const TOKENS_MAX: usize = 256;

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Spaces and comments.
    Empty,
    /// It is planned and gives rows.
    Statement,
    Begin,
    /// Also `END`.
    Commit,
    /// Also `ABORT`.
    Rollback,
    /// `SAVEPOINT` or `RELEASE`.
    Savepoint(&'static str),
    RollbackTo,
    /// Variables with their values; `None` for the default.
    Set {
        values: Vec<(String, Option<String>)>,
        is_reset: bool,
    },
    ResetAll,
    /// `None` for all.
    Show(Option<String>),
    Discard(String),
    /// A prepared statement; `None` for all.
    Deallocate(Option<String>),
    /// A cursor over the statement that begins at a byte of the text.
    Declare {
        name: String,
        query: usize,
        is_held: bool,
    },
    /// So many rows of a cursor; `None` for all.
    Fetch {
        name: String,
        count: Option<u64>,
        is_move: bool,
    },
    /// A cursor; `None` for all.
    CloseCursor(Option<String>),
    /// What does nothing here, with the word that answers it.
    Nothing(&'static str),
}

impl Command {
    /// What a text without semicolons is.
    ///
    /// # Errors
    /// For a command that cannot be meant, or that this server cannot honestly answer.
    pub(crate) fn of(text: &str) -> Result<Self> {
        let words = tokens(text).filter(|token| token.kind != TokenKind::Space);
        let words: Vec<_> = words.take(TOKENS_MAX).collect();
        let Some((first, rest)) = words.split_first() else { return Ok(Self::Empty) };
        if first.kind != TokenKind::Word {
            return Ok(Self::Statement);
        }
        let mut rest = Words(rest);
        Ok(match first.text.to_ascii_uppercase().as_str() {
            "BEGIN" | "START" => {
                rest.check_isolation()?;
                Self::Begin
            }
            "COMMIT" | "END" => Self::Commit,
            "ROLLBACK" | "ABORT" => {
                rest.skip_any(&["WORK", "TRANSACTION"]);
                if rest.take("TO") { Self::RollbackTo } else { Self::Rollback }
            }
            "SAVEPOINT" => Self::Savepoint("SAVEPOINT"),
            "RELEASE" => Self::Savepoint("RELEASE"),
            "SET" => rest.set()?,
            "RESET" => match rest.variable()?.as_str() {
                "all" => Self::ResetAll,
                name => Self::Set { values: vec![(name.to_owned(), None)], is_reset: true },
            },
            "SHOW" => return rest.show(),
            "DISCARD" => Self::Discard(rest.name("DISCARD")?),
            "DEALLOCATE" => {
                rest.take("PREPARE");
                Self::Deallocate(rest.all_or_name("DEALLOCATE")?)
            }
            "CLOSE" => Self::CloseCursor(rest.all_or_name("CLOSE")?),
            "DECLARE" => rest.declare()?,
            "FETCH" => rest.fetch(false)?,
            "MOVE" => rest.fetch(true)?,
            "LISTEN" | "NOTIFY" => {
                return Err(Failure::new(
                    UNSUPPORTED,
                    "this server sends no notifications: ask again, or follow /api/v1/tables/{table}/live over HTTP",
                ));
            }
            "UNLISTEN" => Self::Nothing("UNLISTEN"),
            _ => Self::Statement,
        })
    }

    /// Whether it may come in a transaction that has failed.
    pub(crate) fn ends_failure(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo)
    }
}

/// The words of a command that are left.
struct Words<'a>(&'a [Token<'a>]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn is(&self, word: &str) -> bool {
        self.0.first().is_some_and(|token| token.is(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.is(word);
        if is_next {
            self.next();
        }
        is_next
    }

    fn skip_any(&mut self, words: &[&str]) -> bool {
        let mut is_any = false;
        while words.iter().any(|word| self.take(word)) {
            is_any = true;
        }
        is_any
    }

    fn name(&mut self, of: &str) -> Result<String> {
        let name = self.next().and_then(|token| token.name());
        name.ok_or_else(|| Failure::new(SYNTAX, format!("{of}: a name is missing")))
    }

    fn all_or_name(&mut self, of: &str) -> Result<Option<String>> {
        if self.take("ALL") { Ok(None) } else { self.name(of).map(Some) }
    }

    /// The name of a variable, in small letters.
    fn variable(&mut self) -> Result<String> {
        if self.take("TIME") && self.take("ZONE") {
            return Ok("timezone".to_owned());
        }
        if self.is("TRANSACTION") && self.0.get(1).is_some_and(|token| token.is("ISOLATION")) {
            self.0 = self.0.get(3..).unwrap_or_default();
            return Ok("transaction_isolation".to_owned());
        }
        let mut name = self.name("the name of a variable")?.to_lowercase();
        while self.take(".") {
            name = format!("{name}.{}", self.name("the name of a variable")?);
        }
        Ok(name)
    }

    /// Refuses what would promise more than there is: a statement sees one instant, and the next a later one.
    fn check_isolation(&self) -> Result<()> {
        let is_promised =
            self.0.iter().any(|token| token.is("REPEATABLE") || token.is("SERIALIZABLE"));
        match is_promised {
            false => Ok(()),
            true => Err(Failure::new(
                UNSUPPORTED,
                "every statement sees one instant of all tables, and the next statement a later one: there is READ COMMITTED only",
            )),
        }
    }

    fn set(&mut self) -> Result<Command> {
        let set = |values| Ok(Command::Set { values, is_reset: false });
        if self.skip_any(&["SESSION", "LOCAL"]) && self.is("AUTHORIZATION") {
            return Err(roles());
        }
        if self.is("ROLE") {
            return Err(roles());
        }
        if self.is("TRANSACTION") || self.is("CHARACTERISTICS") {
            self.check_isolation()?;
            return set(Vec::new());
        }
        if self.take("NAMES") {
            let value = self.value()?;
            return set(vec![("client_encoding".to_owned(), value)]);
        }
        let is_zone = self.is("TIME");
        let name = self.variable()?;
        if !is_zone && !self.take("TO") && !self.take("=") {
            return Err(Failure::new(SYNTAX, format!("SET {name}: write SET {name} = value")));
        }
        let value = self.value()?;
        set(vec![(name, value)])
    }

    /// The values behind `=`, with commas between them; `None` for `DEFAULT`.
    fn value(&mut self) -> Result<Option<String>> {
        if self.take("DEFAULT") {
            return Ok(None);
        }
        let (mut values, mut sign) = (Vec::new(), String::new());
        while let Some(token) = self.next() {
            match token.text {
                "," => {}
                "-" | "+" => sign = token.text.to_owned(),
                text => {
                    let value =
                        token.string().or_else(|| token.name()).unwrap_or_else(|| text.to_owned());
                    values.push(format!("{sign}{value}"));
                    sign.clear();
                }
            }
        }
        match values.is_empty() {
            true => Err(Failure::new(SYNTAX, "SET: a value is missing")),
            false => Ok(Some(values.join(", "))),
        }
    }

    fn show(&mut self) -> Result<Command> {
        // Those of the planner.
        const PLANNED: [&str; 7] =
            ["TABLES", "COLUMNS", "FUNCTIONS", "SCHEMAS", "DATABASES", "CREATE", "FULL"];
        if PLANNED.iter().any(|word| self.is(word)) {
            return Ok(Command::Statement);
        }
        Ok(match self.variable()?.as_str() {
            "all" => Command::Show(None),
            name => Command::Show(Some(name.to_owned())),
        })
    }

    fn declare(&mut self) -> Result<Command> {
        let name = self.name("DECLARE")?;
        while !self.is("CURSOR") {
            let Some(word) = self.next() else {
                return Err(Failure::new(
                    SYNTAX,
                    "DECLARE: write DECLARE name CURSOR FOR SELECT …",
                ));
            };
            if word.is("SCROLL") {
                // `NO SCROLL` was taken together.
                return Err(Failure::new(UNSUPPORTED, "cursors go forward only: leave out SCROLL"));
            }
            if word.is("NO") {
                self.take("SCROLL");
            }
        }
        self.take("CURSOR");
        let is_held = self.take("WITH") && self.take("HOLD");
        if !is_held && self.take("WITHOUT") {
            self.take("HOLD");
        }
        if !self.take("FOR") {
            return Err(Failure::new(SYNTAX, "DECLARE: write DECLARE name CURSOR FOR SELECT …"));
        }
        let query = self.0.first().map(|token| token.start);
        let query =
            query.ok_or_else(|| Failure::new(SYNTAX, "DECLARE: the statement is missing"))?;
        Ok(Command::Declare { name, query, is_held })
    }

    fn fetch(&mut self, is_move: bool) -> Result<Command> {
        let mut count = Some(1);
        loop {
            if self.skip_any(&["NEXT", "FORWARD"]) {
            } else if self.take("ALL") {
                count = None;
            } else if ["BACKWARD", "PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "-"]
                .iter()
                .any(|word| self.is(word))
            {
                return Err(Failure::new(UNSUPPORTED, "cursors go forward only: FETCH FORWARD"));
            } else if let Some(number) =
                self.0.first().filter(|token| token.kind == TokenKind::Value)
            {
                let number = number.text.parse();
                count = Some(
                    number
                        .map_err(|_| Failure::new(SYNTAX, "FETCH: the number of rows is none"))?,
                );
                self.next();
            } else {
                break;
            }
        }
        if !self.take("FROM") {
            self.take("IN");
        }
        Ok(Command::Fetch { name: self.name("FETCH")?, count, is_move })
    }
}

fn roles() -> Failure {
    Failure::new(UNSUPPORTED, "a connection has the roles of who has signed in: connect as another")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Command {
        Command::of(text).unwrap()
    }

    fn set(name: &str, value: Option<&str>) -> Command {
        let values = vec![(name.to_owned(), value.map(str::to_owned))];
        Command::Set { values, is_reset: false }
    }

    #[test]
    fn commands_are_told_from_statements() {
        assert_eq!(of(" -- nothing\n"), Command::Empty);
        for text in [
            "select 1",
            "(select 1)",
            "show tables",
            "insert into a values (1)",
            "with a as (select 1) select * from a",
        ] {
            assert_eq!(of(text), Command::Statement, "{text}");
        }
        assert_eq!(of("/* x */ begin read only"), Command::Begin);
        assert_eq!(of("START TRANSACTION ISOLATION LEVEL READ COMMITTED"), Command::Begin);
        assert_eq!(of("rollback work to savepoint a"), Command::RollbackTo);
        assert_eq!(of("discard all"), Command::Discard("all".to_owned()));
        assert_eq!(of("deallocate prepare \"A\""), Command::Deallocate(Some("A".to_owned())));
        assert_eq!(of("unlisten *"), Command::Nothing("UNLISTEN"));
    }

    #[test]
    fn variables_are_set_in_all_spellings() {
        assert_eq!(of("set time zone 'Europe/Berlin'"), set("timezone", Some("Europe/Berlin")));
        assert_eq!(of("SET SESSION TimeZone TO default"), set("timezone", None));
        assert_eq!(of("set local extra_float_digits = -3"), set("extra_float_digits", Some("-3")));
        assert_eq!(
            of("set search_path to \"$user\", public"),
            set("search_path", Some("$user, public"))
        );
        assert_eq!(of("set datestyle = ISO, MDY"), set("datestyle", Some("iso, mdy")));
        assert_eq!(of("show time zone"), Command::Show(Some("timezone".to_owned())));
        assert_eq!(
            of("show transaction isolation level"),
            Command::Show(Some("transaction_isolation".to_owned()))
        );
        assert_eq!(
            of("set session characteristics as transaction read write"),
            Command::Set { values: Vec::new(), is_reset: false }
        );
        for text in [
            "set role x",
            "set session authorization x",
            "begin isolation level serializable",
            "set transaction isolation level repeatable read",
        ] {
            assert!(Command::of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cursors_go_forward() {
        let text = "declare c no scroll cursor with hold for select 1";
        assert_eq!(of(text), Command::Declare { name: "c".to_owned(), query: 41, is_held: true });
        assert_eq!(text.get(41..).unwrap(), "select 1");
        let fetch = |count| Command::Fetch { name: "c".to_owned(), count, is_move: false };
        assert_eq!(of("fetch forward 10 from c"), fetch(Some(10)));
        assert_eq!(of("fetch all in \"c\""), fetch(None));
        assert_eq!(of("fetch c"), fetch(Some(1)));
        assert!(Command::of("fetch backward 1 from c").is_err());
        assert!(Command::of("declare c scroll cursor for select 1").is_err());
    }
}
