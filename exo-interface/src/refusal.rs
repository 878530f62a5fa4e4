//! A syscall's "no": the guest sees it, and its turn goes on.

/// Why a syscall did nothing. Codes are part of the guest interface and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(i32)]
#[non_exhaustive]
pub enum Refusal {
    /// The handle stands for no port, or for one that is gone.
    #[error("this port is not valid: it was deleted, moved away, or dropped at the end of its turn")]
    InvalidPort = 1,
    /// No port is bound under the name.
    #[error("no port is bound under this name")]
    NotBound = 2,
    /// Another port has the name.
    #[error("this name is in use; unbind or delete the port under it first")]
    NameInUse = 3,
    /// The port is bound already.
    #[error("this port is bound; unbind it first")]
    PortBound = 4,
    /// The name is empty or too long.
    #[error("a port name has 1 to 256 bytes")]
    InvalidName = 5,
    /// The data are not one canonical dag-cbor value.
    #[error("the data are not canonical dag-cbor")]
    InvalidData = 6,
    /// The message is larger than the limit.
    #[error("the message is larger than the limit")]
    MessageTooLarge = 7,
    /// The container has as many ports as it may.
    #[error("this container has as many ports as it may have")]
    TooManyPorts = 8,
    /// The container is as deep in the tree as one may be.
    #[error("the tree of containers is as deep as it may be")]
    TooDeep = 9,
    /// The turn has asked for more effects than it may.
    #[error("this turn has sent as much as a turn may send")]
    TooManyEffects = 10,
    /// No container type has this name.
    #[error("no container type of this name is registered")]
    UnknownType = 11,
    /// Roots have no parent.
    #[error("a root has no parent to talk to")]
    NoParent = 12,
    /// A port cannot be sent to the container that it leads to.
    #[error("a port cannot be sent through itself")]
    ThroughItself = 13,
    /// The guest asked for something that this hypervisor does not have.
    #[error("the call is not known to this hypervisor")]
    UnknownCall = 14,
    /// What the port led to is gone.
    #[error("this port is closed: the other end of the channel, or the container, is gone")]
    Closed = 15,
    /// Only channel ends go over a channel.
    #[error(
        "a container's port cannot be sent over a channel, only to its parent or through the port of another child"
    )]
    NotOverChannel = 16,
    /// The receiver has not taken enough of what was sent before.
    #[error("the queue behind this port is full; send again when the receiver has taken some of it")]
    QueueFull = 17,
    /// The turn has let out as many bytes as it may.
    #[error("this turn has sent, answered and written as many bytes as a turn may let out")]
    OutboxFull = 18,
    /// The container has as many timers as it may.
    #[error("this container has as many timers as it may have; cancel some")]
    TooManyTimers = 19,
    /// A question cannot have effects.
    #[error("a query only looks: it cannot send, create, bind, delete or set timers; a request can")]
    InQuery = 20,
    /// The host gives no random bytes.
    #[error(
        "there are no random bytes here: the host of this hypervisor has to give a source of them (Builder::entropy)"
    )]
    NoEntropy = 21,
    /// More random bytes than one may have.
    #[error("a call gives at most 65,536 random bytes, and a turn 1 MiB of them")]
    TooMuchEntropy = 22,
}

impl Refusal {
    /// Every refusal, by code.
    pub const ALL: [Refusal; 22] = [
        Refusal::InvalidPort,
        Refusal::NotBound,
        Refusal::NameInUse,
        Refusal::PortBound,
        Refusal::InvalidName,
        Refusal::InvalidData,
        Refusal::MessageTooLarge,
        Refusal::TooManyPorts,
        Refusal::TooDeep,
        Refusal::TooManyEffects,
        Refusal::UnknownType,
        Refusal::NoParent,
        Refusal::ThroughItself,
        Refusal::UnknownCall,
        Refusal::Closed,
        Refusal::NotOverChannel,
        Refusal::QueueFull,
        Refusal::OutboxFull,
        Refusal::TooManyTimers,
        Refusal::InQuery,
        Refusal::NoEntropy,
        Refusal::TooMuchEntropy,
    ];

    /// The number that a guest gets, negated.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The refusal with this number.
    pub fn from_code(code: i32) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}
