//! Doors with a port of their own: their ports are taken before the engine is opened, as that of the server is.

use std::sync::Arc;

use barograph_flight::Server;
use barograph_postgres::{Postgres, PostgresListener, pg_catalog};
use barograph_query::Sql;

use crate::Result;
use crate::output::say;
use crate::settings::Settings;

/// Doors that nobody answers yet.
#[derive(Debug)]
pub(crate) struct Doors {
    postgres: Option<PostgresListener>,
}

/// SQL with the catalogs that clients of these doors ask for.
pub(crate) fn catalogs(settings: &Settings, sql: Arc<Sql>) -> Result<Arc<Sql>> {
    match settings.postgres.listen.is_empty() {
        true => Ok(sql),
        false => Ok(sql.with_derived(pg_catalog())?),
    }
}

impl Doors {
    /// Takes the ports that the settings name.
    pub(crate) async fn bind(settings: &Settings) -> Result<Self> {
        let (flight, access) = (&settings.flight, &settings.access);
        let postgres = PostgresListener::bind(&settings.postgres, flight, access).await?;
        Ok(Self { postgres })
    }

    /// Says where they are.
    pub(crate) fn announce(&self) -> Result<()> {
        match &self.postgres {
            Some(listener) => {
                say(format_args!("clients of PostgreSQL at {}", listener.local_addr()))
            }
            None => Ok(()),
        }
    }

    /// The server, which answers at them, too.
    pub(crate) fn of(self, settings: &Settings, server: Server) -> Server {
        let Some(listener) = self.postgres else { return server };
        let postgres = Postgres::new(listener, server.beside(), settings.postgres.clone());
        server.with_protocol(postgres.serve())
    }
}
