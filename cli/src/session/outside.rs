//! What a container that runs has from outside: the time, and the hosts that it may reach.

use std::sync::{Arc, OnceLock};

use everturn::outbound::{AllowedHost, Outbound, Settings};
use everturn::{Builder, Ticks};

use crate::arguments::NetArguments;
use crate::failure::Failure;

use super::{Local, Session};

/// The hosts that a container may reach, and its way to them once it runs and has one.
#[derive(Default)]
pub(super) struct Reach {
    allowed: Vec<AllowedHost>,
    outbound: OnceLock<Outbound>,
}

/// Makes the types of drivers' durable halves known: a folder may have some.
pub(super) fn registered(builder: Builder) -> Builder {
    everturn::socket::registered(everturn::outbound::registered(builder))
}

impl Session {
    /// Lets the container reach hosts, from when it runs.
    ///
    /// # Errors
    /// If it runs in another process.
    pub(crate) fn reaching(self, net: &NetArguments) -> Result<Session, Failure> {
        match self {
            Session::Local(local) => Ok(Session::Local(local.reaching(net))),
            attached if net.allow_net.is_empty() => Ok(attached),
            Session::Attached(_) => Err(Failure::Usage(
                "this folder is served by another process, which decides what its program may reach; give --allow-net to that"
                    .into(),
            )),
        }
    }
}

impl Local {
    /// Lets the container reach hosts, from when it runs.
    pub(crate) fn reaching(self, net: &NetArguments) -> Local {
        let reach = Reach { allowed: net.allow_net.clone(), outbound: OnceLock::new() };
        Local { reach: Arc::new(reach), ..self }
    }

    /// Gives the container, which is there, what comes from outside: answers of the hosts that it may reach, and the time.
    pub(super) async fn wake(&self) -> Result<(), Failure> {
        everturn::socket::close_those_left(&self.hypervisor).await?;
        // Who owes requests from before is told that they are not allowed any more.
        if !self.reach.allowed.is_empty() || Outbound::is_there(&self.hypervisor).await? {
            let (allowed, settings) = (self.reach.allowed.clone(), Settings::default());
            let outbound = Outbound::start(&self.hypervisor, &self.main, allowed, settings).await?;
            self.reach.outbound.get_or_init(|| outbound);
        }
        // It ends with the hypervisor.
        drop(everturn::clock::keep(&self.hypervisor));
        Ok(())
    }

    /// Connects a container that went back to an older state with its drivers again.
    pub(crate) async fn reconnect(&self) -> Result<(), Failure> {
        match self.reach.outbound.get() {
            Some(outbound) => Ok(outbound.connect(&self.main).await?),
            None => Ok(()),
        }
    }

    /// Waits until nothing is queued and no other host owes an answer.
    pub(super) async fn idle(&self) -> Result<(), Failure> {
        let mut before = None;
        loop {
            self.hypervisor.wait(&self.main, Ticks::MAX).await?;
            let Some(outbound) = self.reach.outbound.get() else { return Ok(()) };
            let now = Some(outbound.settled().await?);
            if before == now {
                return Ok(());
            }
            before = now;
        }
    }
}
