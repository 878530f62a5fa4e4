//! Sockets of clients: each is a port of the program, and each message on it a turn.
//!
//! The durable half is a root container of its own, [`NAME`], with one end of a channel for each socket; the program has the
//! other. The outer half, a task, carries messages from there to the connections; it keeps nothing, and a connection does not
//! outlive its process: at the next start all ends are let go, and the program is told that its sockets closed. docs/sockets.md
//! says it for people.

mod durable;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use everturn_containers::native::NativeType;
use everturn_dag::{Ipld, node};
use everturn_drivers::http::{Failure, Frame, Outgoing, Socket, Taken, Welcome};
use everturn_hypervisor::{Builder, Hypervisor, HypervisorError};
use everturn_port_manager::ContainerId;

use durable::{Given, Opened, Said, Waiting};

use crate::driver::Durable;

/// The root container that is the durable half, and its type.
pub const NAME: &str = "everturn:sockets";
/// The name of the port in a program.
pub const PORT: &str = "sockets";

/// Makes the type of the durable half known. To be called wherever a store is opened that may have one: nothing runs before
/// the types of all that waits are known.
pub fn register(hypervisor: &Hypervisor) {
    hypervisor.register_container(NAME, NativeType::<Waiting>::new());
}

/// As [`register`], from the beginning: a checkpoint may have one.
#[must_use]
pub fn registered(builder: Builder) -> Builder {
    builder.register_container(NAME, NativeType::<Waiting>::new())
}

/// Tells a program whose sockets were left open that they are closed; nothing if there is no durable half.
///
/// # Errors
/// If the hypervisor has stopped.
pub async fn close_those_left(hypervisor: &Hypervisor) -> Result<(), HypervisorError> {
    let id = ContainerId::root(NAME);
    if hypervisor.is_alive(&id).await? {
        Durable { hypervisor: hypervisor.clone(), id }.tell(&Said::Begin).await?;
    }
    Ok(())
}

/// The sockets of one program. It ends with its hypervisor.
#[derive(Clone)]
pub struct Sockets {
    durable: Durable,
    program: ContainerId,
    open: Arc<Mutex<HashMap<u64, Outgoing>>>,
}

impl Sockets {
    /// Lets clients open sockets of a root container. Those that were left open before are closed.
    ///
    /// # Errors
    /// If the name [`PORT`] is used otherwise in the program.
    pub async fn start(hypervisor: &Hypervisor, program: &ContainerId) -> Result<Sockets, HypervisorError> {
        register(hypervisor);
        let id = hypervisor.get_or_create_instance(NAME, NAME, Ipld::Null).await?;
        hypervisor.connect(&id, &program.to_string(), program, PORT).await?;
        close_those_left(hypervisor).await?;
        let durable = Durable { hypervisor: hypervisor.clone(), id };
        let sockets = Sockets { durable, program: *program, open: Arc::default() };
        drop(tokio::spawn(sockets.clone().pump()));
        Ok(sockets)
    }

    /// Asks the program whether it opens a socket.
    ///
    /// # Errors
    /// As for a request.
    pub(crate) async fn open(&self, request: &[u8]) -> Result<Welcome, Failure> {
        let request = node::decode(request).map_err(|error| Failure::Unanswered(error.to_string()))?;
        let open = Said::Open(self.program.to_string(), request);
        match self.durable.ask(&open).await.map_err(crate::http::failure)? {
            Opened::Refused(answer) => Ok(Welcome::Answered(answer)),
            Opened::Failed(exception) => Err(Failure::Exception(exception)),
            Opened::Socket(number) => {
                let (outgoing, incoming) = Outgoing::new();
                self.lock().insert(number, outgoing);
                let socket = Open { sockets: self.clone(), number };
                // What was sent to it meanwhile waits for this.
                self.tell(&Said::Ready(number)).await;
                Ok(Welcome::Opened(Box::new(socket), incoming))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Outgoing>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries what the program sends to the connections, until there will be no more.
    async fn pump(self) {
        loop {
            let given: Vec<(u64, Given)> = match self.durable.ask(&Said::Next).await {
                Ok(given) => given,
                Err(error) => {
                    tracing::debug!(target: "everturn::sockets", %error, "nothing more is sent");
                    return self.lock().clear();
                }
            };
            for (number, given) in given {
                self.give(number, given);
            }
        }
    }

    fn give(&self, number: u64, given: Given) {
        let mut open = self.lock();
        let Some(outgoing) = open.get(&number) else { return };
        let is_taken = match given {
            Given::Text(text) => outgoing.give(Frame::Text(text)),
            Given::Bytes(bytes) => outgoing.give(Frame::Bytes(bytes.into_vec())),
            Given::Closed => false,
        };
        if !is_taken {
            // The connection ends after what it has got; one that is too slow ends too.
            open.remove(&number);
        }
    }

    /// Tells the durable half, and waits until that is durable.
    async fn tell(&self, said: &Said) -> Taken {
        match self.durable.tell(said).await {
            Ok(receipt) if receipt.outcome.is_ok() => Taken::Taken,
            Ok(_) => Taken::Refused,
            Err(_) => Taken::Ended,
        }
    }
}

/// One connection's way to the program.
struct Open {
    sockets: Sockets,
    number: u64,
}

#[async_trait]
impl Socket for Open {
    async fn take(&self, frame: Frame) -> Taken {
        let given = match frame {
            Frame::Text(text) => Given::Text(text),
            Frame::Bytes(bytes) => Given::Bytes(bytes.into()),
        };
        self.sockets.tell(&Said::Came(self.number, given)).await
    }

    async fn closed(&self) {
        self.sockets.lock().remove(&self.number);
        self.sockets.tell(&Said::Came(self.number, Given::Closed)).await;
    }
}
