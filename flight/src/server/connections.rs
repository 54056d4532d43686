//! The connections that are open, counted by the address that they come from: one that opens too many is not served further
//! ones, whether it says who it is or not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::refusals;

/// What refusals are counted under.
const BY_ADDRESS: &str = "flight.connections_per_address_max";

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    per_address: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is open, until this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
}

impl Connections {
    /// At most `per_address` from one address.
    pub(super) fn new(per_address: usize) -> Arc<Self> {
        Arc::new(Self { per_address, open: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` if it has too many. What has no address any more is about to close.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Place> {
        if let Some(address) = address {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(address).or_default();
            if *count >= self.per_address {
                refusals::count(Some(BY_ADDRESS));
                return None;
            }
            *count += 1;
        }
        Some(Place { connections: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_so_many_and_others_theirs() {
        let connections = Connections::new(2);
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|of| Some(IpAddr::from(of)));
        let first = connections.take(one).unwrap();
        let _second = connections.take(one).unwrap();
        assert!(connections.take(one).is_none());
        let _third = connections.take(other).unwrap();
        drop(first);
        let _fourth = connections.take(one).unwrap();
        drop(_third);
        assert_eq!(
            connections.open.lock().unwrap().len(),
            1,
            "those without connections are forgotten"
        );
        assert!(connections.take(None).is_some());
    }
}
