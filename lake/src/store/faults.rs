//! An object store that fails as planned, for tests.
//!
//! Operations of each kind are counted from zero; the plan says which of them go wrong and how. A plan
//! drawn from a seed gives the same faults for the same sequence of operations.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Kind of an operation on an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A put, or the start of a multipart upload, a copy or a rename.
    Put,
    /// A get of an object, its ranges or its metadata.
    Get,
    /// A listing.
    List,
    /// A deletion of one or several objects.
    Delete,
}

/// A fault of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation is not carried out and fails.
    Fail,
    /// The operation is carried out and its reply lost: the caller sees a failure.
    LoseReply,
    /// The operation is carried out after a while.
    Delay(Duration),
    /// The operation fails, and a put is carried out all the same when the test calls
    /// [`FaultStore::deliver`]: it was under way when the caller gave up waiting.
    Late,
}

/// A plan of the operations that go wrong.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    exact: HashMap<(Operation, u64), Fault>,
    random: Option<Random>,
}

#[derive(Debug, Clone, Copy)]
struct Random {
    seed: u64,
    per_mille: u64,
    delay_max: Duration,
}

/// An object store that carries out a [`FaultPlan`] around another one.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    counts: HashMap<Operation, u64>,
    faults: u64,
    late: Vec<(Path, PutPayload, PutOptions)>,
    held: Option<Held>,
}

/// Listings that wait.
#[derive(Debug, Clone)]
struct Held {
    folder: String,
    reached: watch::Sender<bool>,
    released: watch::Receiver<()>,
}

/// Listings of a folder that wait until this is dropped.
#[derive(Debug)]
pub struct Hold {
    reached: watch::Receiver<bool>,
    _release: watch::Sender<()>,
}

impl Hold {
    /// Ready once a listing waits.
    pub async fn reached(&mut self) {
        // It is held as long as this is there.
        let _ = self.reached.wait_for(|reached| *reached).await;
    }
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Makes the `n`-th operation of a kind, counted from zero, go wrong.
    pub fn on(mut self, operation: Operation, n: u64, fault: Fault) -> Self {
        self.exact.insert((operation, n), fault);
        self
    }

    /// Faults drawn from `seed`: of 1,000 operations about `per_mille` fail, as many lose their reply, and
    /// as many are delayed by up to `delay_max`.
    pub fn seeded(seed: u64, per_mille: u64, delay_max: Duration) -> Self {
        Self { exact: HashMap::new(), random: Some(Random { seed, per_mille, delay_max }) }
    }

    fn fault(&self, operation: Operation, n: u64) -> Option<Fault> {
        if let Some(fault) = self.exact.get(&(operation, n)) {
            return Some(*fault);
        }
        let random = self.random?;
        let draw = mix(random.seed ^ mix(operation as u64 + 1) ^ mix(n.wrapping_mul(4)));
        match draw % 1_000 / random.per_mille.max(1) {
            _ if random.per_mille == 0 => None,
            0 => Some(Fault::Fail),
            1 => Some(Fault::LoseReply),
            2 => {
                let nanos = u64::try_from(random.delay_max.as_nanos()).unwrap_or(u64::MAX);
                Some(Fault::Delay(Duration::from_nanos(mix(draw) % nanos.max(1))))
            }
            _ => None,
        }
    }
}

impl FaultStore {
    /// Carries out `plan` around `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::new(State { plan, ..State::default() }) })
    }

    /// Follows another plan from here on; operations are counted from zero again.
    pub fn set_plan(&self, plan: FaultPlan) {
        let mut state = self.state.lock();
        let late = std::mem::take(&mut state.late);
        let held = state.held.take();
        *state = State { plan, late, held, ..State::default() };
    }

    /// Carries out the puts that were under way; gives how many there were.
    pub async fn deliver(&self) -> usize {
        let late = std::mem::take(&mut self.state.lock().late);
        let count = late.len();
        for (location, payload, options) in late {
            // Nobody waits for the answer.
            let _ = self.inner.put_opts(&location, payload, options).await;
        }
        count
    }

    /// Has listings of a folder wait that is called so.
    pub fn hold_lists(&self, folder: &str) -> Hold {
        let (reached, waits) = watch::channel(false);
        let (release, released) = watch::channel(());
        self.state.lock().held = Some(Held { folder: folder.to_owned(), reached, released });
        Hold { reached: waits, _release: release }
    }

    /// The number of operations of a kind since the plan was set.
    pub fn count(&self, operation: Operation) -> u64 {
        self.state.lock().counts.get(&operation).copied().unwrap_or(0)
    }

    /// The number of operations that went wrong or were delayed since the plan was set.
    pub fn faults(&self) -> u64 {
        self.state.lock().faults
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut state = self.state.lock();
        let count = state.counts.entry(operation).or_default();
        let n = *count;
        *count += 1;
        let fault = state.plan.fault(operation, n);
        state.faults += u64::from(fault.is_some());
        fault
    }

    async fn run<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.carry_out(self.next(operation), work).await
    }

    async fn carry_out<T>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match fault {
            None => work.await,
            Some(Fault::Fail | Fault::Late) => Err(injected("the operation failed")),
            Some(Fault::LoseReply) => {
                work.await?;
                Err(injected("the reply was lost"))
            }
            Some(Fault::Delay(delay)) => {
                wait(delay).await;
                work.await
            }
        }
    }

    fn run_stream<T: Send + 'static>(
        &self,
        operation: Operation,
        work: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        match self.next(operation) {
            None => work,
            Some(Fault::Fail | Fault::Late) => {
                stream::iter([Err(injected("the operation failed"))]).boxed()
            }
            Some(Fault::LoseReply) => {
                work.chain(stream::iter([Err(injected("the reply was lost"))])).boxed()
            }
            Some(Fault::Delay(delay)) => stream::once(async move {
                wait(delay).await;
                Ok::<_, Error>(work)
            })
            .try_flatten()
            .boxed(),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a slow store is slow by the machine's clock")]
async fn wait(delay: Duration) {
    tokio::time::sleep(delay).await;
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.next(Operation::Put);
        if fault == Some(Fault::Late) {
            let late = (location.clone(), payload.clone(), options.clone());
            self.state.lock().late.push(late);
        }
        self.carry_out(fault, self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.run(Operation::Put, self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(Operation::Get, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.run(Operation::Get, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.run_stream(Operation::Delete, self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let held = self.state.lock().held.clone();
        let folder = prefix.and_then(Path::filename);
        let Some(mut held) = held.filter(|held| folder == Some(held.folder.as_str())) else {
            return self.run_stream(Operation::List, self.inner.list(prefix));
        };
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned());
        stream::once(async move {
            held.reached.send_replace(true);
            // Its sender goes when the hold is dropped.
            while held.released.changed().await.is_ok() {}
            Ok::<_, Error>(inner.list(prefix.as_ref()))
        })
        .try_flatten()
        .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.run_stream(Operation::List, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.run(Operation::List, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(Operation::Put, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.run(Operation::Put, self.inner.rename_opts(from, to, options)).await
    }
}

fn injected(what: &str) -> Error {
    Error::Generic { store: "FaultStore", source: format!("injected fault: {what}").into() }
}

/// The finaliser of the generator SplitMix64 (Steele, Lea, Flood 2014): turns a counter into noise.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
