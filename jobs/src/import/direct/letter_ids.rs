//! The ids of an import's dead letters: each run reserves a block in the lake, so that no two letters have the same id,
//! whoever else imports or serves meanwhile.
//!
//! ```text
//! _imports/00000000000000000041.json     the newest block that was reserved, and by which run
//! ```

use barograph_engine::dead_letters::Ids;
use barograph_lake::LakeStore;
use barograph_lake::register::{Entry, Put, Register};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::{Error, ErrorKind, Result};

/// Beside the folders of the tables.
const FOLDER: &str = "_imports";
/// How often a block is tried to be reserved that others are quicker for, or that the store does not answer for.
const TRIES: usize = 32;

/// A block that is reserved.
#[derive(Debug, Deserialize)]
struct Reserved {
    by: String,
}

impl Entry for Reserved {
    fn encode(&self) -> barograph_lake::Result<Bytes> {
        Ok(json!({ "by": self.by }).to_string().into())
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn is_same(&self, found: &Self) -> bool {
        self.by == found.by
    }
}

/// Ids that no other run and no server has.
pub(super) async fn reserve(lake: &LakeStore) -> Result<Ids> {
    let register = Register::<Reserved>::new(lake, FOLDER);
    let mine = Reserved { by: Uuid::new_v4().to_string() };
    let mut why = None;
    for _ in 0..TRIES {
        let newest = register.list().await?.numbers.last().copied();
        let number = newest.map_or(0, |newest| newest.saturating_add(1));
        match register.advance(number, &mine).await? {
            Put::Made | Put::Found(_) => {
                let none = || {
                    let last = register.path(number);
                    Error::internal(format!("{last}: no ids are left for letters of imports"))
                };
                return Ids::block(number).ok_or_else(none);
            }
            Put::Taken => {}
            // If it is there after all, a block is left out.
            Put::Unknown(error) => why = Some(error),
        }
    }
    let failed = format!("could not reserve ids for dead letters in {FOLDER}: try again");
    let failed = Error::new(ErrorKind::Unavailable, failed);
    Err(why.map_or(failed, Into::into))
}
