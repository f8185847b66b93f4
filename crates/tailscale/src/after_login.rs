//! What a node is told once it is in the tailnet: names of peers are known then, and its own.

#![forbid(unsafe_code)]

use crate::events::Events;
use crate::local_api;
use crate::node::{is_over, Node};
use crate::settings::table;
use crate::start_error::{failed, StartError};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// For the exit node to be among the peers.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the official container puts the machine's name in place of.
const DOMAIN: &str = "${TS_CERT_DOMAIN}";

impl Node<'_> {
    pub(crate) fn after_login(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<(), StartError> {
        if let Some(name) = &self.settings.exit_node {
            self.leave_by(name, events, until)?;
        }
        match &self.settings.serve_config {
            Some(path) => self.serve(path),
            None => Ok(()),
        }
    }

    /// Without the exit node that was asked for, the program would leave by another address.
    fn leave_by(
        &mut self,
        name: &str,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<(), StartError> {
        let limit = Instant::now() + PATIENCE;
        let limit = until.map_or(limit, |until| until.min(limit));
        let refused = |reason: &str| {
            let variable = table::EXIT_NODE.name;
            failed(format_args!(
                "cannot leave by {name} ({variable}): {reason}"
            ))
        };
        let mut refusal = "tailscaled does not answer `tailscale set`".to_owned();
        loop {
            let words = ["set".into(), format!("--exit-node={name}").into()];
            let mut client = self.client(&words, Vec::new())?;
            while client.ended.is_none() {
                self.step(events, &mut [&mut client], limit)?;
                if client.ended.is_none() && is_over(Some(limit)) {
                    self.end_client(client, events)?;
                    return Err(refused(&refusal));
                }
            }
            if client.ended.is_some_and(|status| status.success()) {
                return Ok(());
            }
            refusal = client.output().trim().to_owned();
            if is_over(Some(limit)) {
                return Err(refused(&refusal));
            }
            self.pause(events)?;
        }
    }

    fn serve(&self, path: &Path) -> Result<(), StartError> {
        let name = table::SERVE_CONFIG.name;
        let cannot = |error: &dyn std::fmt::Display| {
            failed(format_args!(
                "{name}: cannot serve {}: {error}",
                path.display()
            ))
        };
        let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
        let status = local_api::status(&self.socket).map_err(|error| cannot(&error))?;
        let text = text.replace(DOMAIN, &status.domain);
        local_api::set_serve_config(&self.socket, text.as_bytes()).map_err(|error| cannot(&error))
    }
}
