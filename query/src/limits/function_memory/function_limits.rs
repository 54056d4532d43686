//! The limits of functions: the bounds on values and columns, the memory pool that they count in, and the stop flag.
//! Functions find it among the options that each of them is given.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::Buffer;
use barograph_engine::Error;
use barograph_engine::internal::ProcessMemoryLimit;
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::plan_err;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use super::extent::bytes_of;
use crate::errors::external;
use crate::limits::executors;
use crate::limits::stop::Stop;
use crate::settings::SqlSettings;

/// Largest column, in multiples of the largest value.
const VALUES_PER_COLUMN: usize = 4;
/// Columns of at least this many bytes are counted; the number of smaller ones is bounded by the plan.
const COUNTED: usize = 1 << 20;

/// The bounds under which functions work.
#[derive(Debug, Clone)]
pub(crate) struct FunctionLimits {
    value_bytes: usize,
    memory: Option<Arc<dyn MemoryPool>>,
    stop: Arc<OnceLock<Stop>>,
    process_limit: ProcessMemoryLimit,
}

impl FunctionLimits {
    /// The allowance of statements that are planned but not run.
    pub(crate) fn new(settings: &SqlSettings) -> Self {
        let value_bytes = settings.value_bytes_max.get();
        let stop = Arc::default();
        Self { value_bytes, memory: None, stop, process_limit: settings.process_limit() }
    }

    /// The allowance of one execution.
    pub(crate) fn of_execution(&self, memory: Arc<dyn MemoryPool>) -> Self {
        Self { memory: Some(memory), stop: Arc::default(), ..self.clone() }
    }

    /// Makes work end once `stop` says so.
    pub(crate) fn obey(&self, stop: &Stop) {
        self.stop.get_or_init(|| stop.clone());
    }

    /// The allowance among `options`.
    pub(crate) fn of(options: &ConfigOptions) -> Option<&Self> {
        options.extensions.get::<Self>()
    }

    /// Most bytes of one value.
    pub(super) fn value_bytes(&self) -> u64 {
        self.value_bytes as u64
    }

    /// Most bytes of a column that is made from `given` bytes.
    pub(super) fn column_bytes(&self, given: u64) -> u64 {
        let values = VALUES_PER_COLUMN as u64;
        (self.value_bytes as u64)
            .saturating_mul(values)
            .saturating_add(given.saturating_mul(values))
    }

    /// Fails once the statement was stopped.
    pub(super) fn go_on(&self) -> Result<()> {
        executors::check()?;
        self.stop.get().map_or(Ok(()), Stop::check)
    }

    /// Reserves `bytes` that `function` is about to produce; released when dropped.
    pub(super) fn reserve(&self, function: &str, bytes: u64) -> Result<Option<MemoryReservation>> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes < COUNTED {
            return Ok(None);
        }
        self.process_limit.check(bytes).map_err(external)?;
        let Some(memory) = &self.memory else { return Ok(None) };
        let reservation = MemoryConsumer::new(format!("values of {function}")).register(memory);
        reservation.try_grow(bytes)?;
        Ok(Some(reservation))
    }

    /// The column, its memory counted for as long as any part of it is held.
    pub(super) fn counted(&self, function: &str, column: ArrayRef) -> Result<ArrayRef> {
        let reservation = self.reserve(function, bytes_of(&column))?;
        Ok(match reservation {
            Some(reservation) => make_array(held(&column.to_data(), &Arc::new(reservation))),
            None => column,
        })
    }

    /// Error for a value of `bytes` that `function` would produce.
    pub(super) fn refused(&self, function: &str, bytes: u64) -> Error {
        Error::request(format!(
            "{function} would make a value of {bytes} bytes, and sql.value_bytes_max allows {}: make \
             shorter ones, take rows in place of a list (FROM generate_series(…)), or raise it",
            self.value_bytes
        ))
    }

    /// Error for a column of `rows` rows that `function` would produce.
    pub(super) fn refused_column(&self, function: &str, bytes: u64, rows: usize) -> Error {
        Error::request(format!(
            "{function} would make {bytes} bytes or more of {rows} rows, more than {VALUES_PER_COLUMN} times \
             sql.value_bytes_max, which is {}: make shorter values, or raise it",
            self.value_bytes
        ))
    }
}

impl Default for FunctionLimits {
    fn default() -> Self {
        Self::new(&SqlSettings::default())
    }
}

/// The same data in buffers that hold a reservation.
fn held(data: &ArrayData, reservation: &Arc<MemoryReservation>) -> ArrayData {
    let buffers = data.buffers().iter().map(|buffer| {
        let owner = Held { buffer: buffer.clone(), _reservation: Arc::clone(reservation) };
        Buffer::from(Bytes::from_owner(owner))
    });
    let buffers = buffers.collect();
    let children = data.child_data().iter().map(|child| held(child, reservation)).collect();
    let builder = data.clone().into_builder().buffers(buffers).child_data(children);
    // SAFETY: the bytes are those of an array, in the same places; who owns them is all that changes.
    unsafe { builder.build_unchecked() }
}

/// A buffer and the memory reserved for it.
struct Held {
    buffer: Buffer,
    _reservation: Arc<MemoryReservation>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

impl ConfigExtension for FunctionLimits {
    const PREFIX: &'static str = "allowance";
}

impl ExtensionOptions for FunctionLimits {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        plan_err!("{key} is set by the settings of the server")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
