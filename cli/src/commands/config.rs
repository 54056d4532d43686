//! `barograph config`: the settings in force, the defaults, or the reference pages of settings, metrics and
//! the HTTP API.

use crate::arguments::ConfigArguments;
use crate::output::say;
use crate::settings::{Layers, Settings, reference};
use crate::{Result, metrics};

pub(super) fn run(arguments: &ConfigArguments, layers: &Layers) -> Result<()> {
    let text = if arguments.reference {
        reference::page()?
    } else if arguments.metrics {
        metrics::reference()
    } else if arguments.http {
        barograph_http::reference()
    } else if arguments.defaults {
        reference::file(&Settings::default())?
    } else {
        reference::file(&layers.resolve()?)?
    };
    say(text.trim_end())
}
