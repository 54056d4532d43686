//! The reloading of roles while a server runs: when the settings file changes, or on SIGHUP.

use std::sync::Arc;

use barograph_access::Access;
use barograph_engine::{Clock, SystemClock};
use barograph_flight::FlightSettings;

use crate::settings::Layers;
use crate::signals::Hangups;
use crate::{Error, Result};

/// Takes up what the settings say of access, as often as they change.
pub(super) async fn reload(layers: Layers, flight: FlightSettings, access: Arc<Access>) {
    let mut hangups = Hangups::hear();
    let mut last = read(&layers).await;
    loop {
        let is_asked = tokio::select! {
            () = hangups.next() => true,
            () = SystemClock.sleep(Access::REFRESH_EVERY.duration()) => false,
        };
        let now = read(&layers).await;
        if !is_asked && now == last {
            continue;
        }
        last = now;
        if let Err(error) = take_up(&layers, &flight, &access) {
            access.not_reloaded(&error);
        }
    }
}

/// The settings file; none that cannot be read.
async fn read(layers: &Layers) -> Option<Vec<u8>> {
    tokio::fs::read(layers.path()?).await.ok()
}

fn take_up(layers: &Layers, flight: &FlightSettings, access: &Access) -> Result<()> {
    let settings = layers.resolve()?;
    if !settings.access.certificates.is_empty() && flight.tls_client_ca.is_none() {
        return Err(Error::usage(
            "access.certificates is set and flight.tls_client_ca is not, which needs a restart",
        ));
    }
    access.reload(settings.access).map_err(|error| Error::usage(error.to_string()))
}
