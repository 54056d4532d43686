//! The engine that is served, with SQL over it. A change of columns puts another in its place while calls run.
//!
//! ```text
//! replace: deletions end ─► the tail lands ─► puts wait ─► the engine is shut down ─► the next is opened ─► puts go on
//!          reads that run keep the engine they began with; those that begin get the one that is there
//! ```

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_access::Access;
use barograph_engine::{Engine, ErrorKind};
use barograph_query::Sql;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, Notify, OwnedRwLockReadGuard, RwLock, RwLockReadGuard, mpsc};

use super::pins::RELEASE_EVERY;
use super::shutdown::Phase;
use super::state::State;
use crate::message::{AlterProgress, AlterRequest};
use crate::{Error, Result};

/// The alteration of columns while tables are served.
pub trait Alter: fmt::Debug + Send + Sync {
    /// Carries out what is asked, and reopens the engine by [`Reopening::replace`]. Returns lines that say what was
    /// done.
    ///
    /// # Errors
    /// `Request` if it cannot be done; nothing is changed then.
    fn alter(
        self: Arc<Self>,
        asked: AlterRequest,
        reopening: Reopening,
    ) -> BoxFuture<'static, Result<Vec<String>>>;
}

/// What is served, and who changes it.
#[derive(Debug)]
pub(crate) struct Serving {
    state: ArcSwap<State>,
    /// Held by each put.
    puts: Arc<RwLock<()>>,
    /// Held by whatever else changes tables, and may take long.
    maintenance: RwLock<()>,
    replaced: Notify,
    alter: Option<Arc<dyn Alter>>,
    /// Held while columns are altered.
    altering: Mutex<()>,
}

impl Serving {
    pub(crate) fn new(state: State, alter: Option<Arc<dyn Alter>>) -> Arc<Self> {
        Arc::new(Self {
            state: ArcSwap::from_pointee(state),
            puts: Arc::default(),
            maintenance: RwLock::default(),
            replaced: Notify::new(),
            alter,
            altering: Mutex::default(),
        })
    }

    /// What is served now.
    pub(crate) fn current(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Whether that is what is served now.
    pub(crate) fn is_current(&self, state: &Arc<State>) -> bool {
        Arc::ptr_eq(&self.state.load(), state)
    }

    /// What is served, which stays so for as long as the guard is held: for a put.
    pub(crate) async fn to_put(&self) -> (Arc<State>, OwnedRwLockReadGuard<()>) {
        let guard = Arc::clone(&self.puts).read_owned().await;
        (self.current(), guard)
    }

    /// The same for other changes, which may take long.
    pub(crate) async fn to_change(&self) -> (Arc<State>, RwLockReadGuard<'_, ()>) {
        let guard = self.maintenance.read().await;
        (self.current(), guard)
    }

    /// Alters columns to the end, whether or not somebody reads the progress any more.
    pub(crate) async fn alter(
        self: &Arc<Self>,
        asked: AlterRequest,
        progress: mpsc::Sender<AlterProgress>,
    ) -> Result<Vec<String>> {
        let Some(alter) = self.alter.clone() else {
            return Err(Error::request(
                "action alter: this server reads its settings only at its start; `barograph serve` alters columns while it runs",
            ));
        };
        let Ok(_one) = self.altering.try_lock() else {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "action alter: columns are being altered already: try again when that is done",
            ));
        };
        let reopening = Reopening { serving: Arc::clone(self), progress };
        alter.alter(asked, reopening).await
    }

    /// Ready when the engine that is served can write nothing more.
    pub(crate) async fn failed(&self) {
        loop {
            let mut replaced = std::pin::pin!(self.replaced.notified());
            replaced.as_mut().enable();
            let state = self.current();
            tokio::select! {
                _ = state.engine.failed() => return,
                () = replaced => {}
            }
        }
    }

    /// Asks `access` from now on: to be called before anything is served.
    pub(crate) fn asks(&self, access: Arc<Access>) {
        let state = self.current();
        self.state.store(Arc::new(state.asking(access)));
    }

    /// Reads files of credentials again when they have changed.
    pub(crate) async fn refresh_access(&self) {
        let (clock, access) = {
            let state = self.current();
            (Arc::clone(state.engine.clock()), Arc::clone(&state.access))
        };
        loop {
            clock.sleep(Access::REFRESH_EVERY.duration()).await;
            access.refresh().await;
        }
    }

    /// Asks for the keys of an issuer when it is time to. Their server may take its time.
    pub(crate) async fn refresh_keys(&self) {
        let (clock, access) = {
            let state = self.current();
            (Arc::clone(state.engine.clock()), Arc::clone(&state.access))
        };
        loop {
            access.refresh_keys().await;
            clock.sleep(Access::REFRESH_EVERY.duration()).await;
        }
    }

    /// Lets go for ever what was kept in vain.
    pub(crate) async fn release_when_due(&self) {
        let clock = Arc::clone(self.current().engine.clock());
        loop {
            clock.sleep(RELEASE_EVERY).await;
            let state = self.current();
            state.release();
            state.executions.forget_old_plans();
        }
    }

    /// Shuts the engine down, once it is not being replaced any more.
    pub(crate) async fn shut_down(&self) -> Result<()> {
        let _maintenance = self.maintenance.write().await;
        Ok(self.current().engine.shutdown().await?)
    }
}

/// A handle that replaces the engine that is served.
#[derive(Debug)]
pub struct Reopening {
    serving: Arc<Serving>,
    progress: mpsc::Sender<AlterProgress>,
}

impl Reopening {
    /// The engine that is served.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.serving.current().engine)
    }

    /// SQL over the engine that is served.
    pub fn sql(&self) -> Arc<Sql> {
        Arc::clone(&self.serving.current().sql)
    }

    /// Reports the progress to the client.
    pub fn report(&self, progress: AlterProgress) {
        // Who reads slowly gets the next one.
        let _ = self.progress.try_send(progress);
    }

    /// Whether to go on with work that can be resumed later: the client is still there, and the server is not shutting
    /// down.
    pub fn is_wanted(&self) -> bool {
        !self.progress.is_closed() && self.serving.current().shutdown.phase() == Phase::Serving
    }

    /// Replaces what is served with what `reopen` opens. `reopen` is begun once no put and no deletion runs, and has to
    /// shut the engine down.
    ///
    /// # Errors
    /// Those of `reopen`; what was served then stays in place, whether its engine was shut down or not.
    pub async fn replace(
        &self,
        reopen: impl Future<Output = Result<(Arc<Engine>, Arc<Sql>)>>,
    ) -> Result<()> {
        let _maintenance = self.serving.maintenance.write().await;
        let before = self.serving.current();
        before.shutdown.check()?;
        // So that little is left to land while puts wait. What cannot land stays in the log.
        if let Err(error) = before.engine.flush().await {
            tracing::warn!(%error, "not everything could land before columns are altered");
        }
        let _puts = self.serving.puts.write().await;
        let (engine, sql) = reopen.await?;
        self.serving.state.store(Arc::new(State::in_place_of(before, engine, sql)));
        self.serving.replaced.notify_waiters();
        Ok(())
    }
}
