//! Settings that are applied after the login, because they need the network map: exit node and serve config.

#![forbid(unsafe_code)]

use crate::events::Events;
use crate::local_api;
use crate::node::{is_over, Node};
use crate::settings::table;
use crate::start_error::{failed, StartError};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for the exit node to appear among the peers.
const PATIENCE: Duration = Duration::from_secs(30);
/// The official container replaces this by the machine's name.
const DOMAIN: &str = "${TS_CERT_DOMAIN}";

impl Node<'_> {
    pub(crate) fn after_login(
        &mut self,
        events: &mut Events,
        until: Option<Instant>,
    ) -> Result<(), StartError> {
        if let Some(name) = &self.settings.exit_node {
            self.use_exit_node(name, events, until)?;
        }
        match &self.settings.serve_config {
            Some(path) => self.serve(path),
            None => Ok(()),
        }
    }

    /// Fails if the exit node cannot be used: the program's connections would come from another address.
    fn use_exit_node(
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
                "cannot use the exit node {name} ({variable}): {reason}"
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
