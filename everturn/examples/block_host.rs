//! A chain of blocks on top of a hypervisor: each block is a list of messages, its header carries the state root after them.
//!
//! One host makes the chain. Another replays it, with another number of threads, and must come to every root: what a block
//! does depends on its messages alone. A block has a budget of ticks, so work that it begins may go on in the next one. A third
//! host has none of the first blocks: it goes on from a checkpoint that the first exported half-way, and agrees from there.

use std::io::{Read, Seek, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Budget, Builder, Cid, ContainerId, Exception, ExceptionKind, Hypervisor, ImportLimits, Ipld, MemoryStore,
    Message, Settings, Store, Ticks, Turn, TurnsBy, import_car, node,
};
use serde::{Deserialize, Serialize};

/// What one block may take, in ticks.
const BLOCK_TICKS: Ticks = Ticks(100);
/// How many accounts there are.
const ACCOUNTS: u64 = 5;

/// A block: what is to be done, and what it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The state root of the block before; `None` in the first.
    pub parent_root: Option<Cid>,
    /// The state root after this block's messages, as far as its budget let them run.
    pub state_root: Cid,
    /// Messages to the root container, each one dag-cbor value.
    pub messages: Vec<Vec<u8>>,
}

/// A payment: from, to, how much.
type Payment = (u64, u64, u64);

/// The root container: it keeps the accounts, and passes payments on to them.
#[derive(Clone, Serialize, Deserialize)]
struct Bank {
    payments: u64,
}

/// One account, a child of the bank.
#[derive(Clone, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

fn invalid(error: impl ToString) -> Exception {
    Exception::new(ExceptionKind::Invalid, error.to_string())
}

impl Native for Bank {
    fn create(turn: &mut Turn, _: Ipld) -> Result<Bank, Exception> {
        for number in 0..ACCOUNTS {
            let account = turn.create("account", &node::encode(&1_000u64).map_err(invalid)?)?;
            turn.bind(&number.to_string(), account)?;
        }
        Ok(Bank { payments: 0 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let (from, to, amount): Payment = node::decode(message.bytes).map_err(invalid)?;
        // An account that has paid sends the same back, from nobody.
        let next = if from < ACCOUNTS { from } else { to };
        self.payments += u64::from(from < ACCOUNTS);
        let account = turn.get(&next.to_string())?;
        let data = node::encode(&(from, to, amount)).map_err(invalid)?;
        Ok(turn.send(account, &data, &[], 0)?)
    }
}

impl Native for Account {
    fn create(_: &mut Turn, init: Ipld) -> Result<Account, Exception> {
        match init {
            Ipld::Integer(balance) => Ok(Account { balance: u64::try_from(balance).map_err(invalid)? }),
            _ => Err(invalid("an account begins with a number")),
        }
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let (from, to, amount): Payment = node::decode(message.bytes).map_err(invalid)?;
        // Some work, so that a block does not get done with everything.
        turn.increment_ticks(Ticks(20));
        if from >= ACCOUNTS {
            self.balance += amount;
            return Ok(());
        }
        self.balance = self.balance.checked_sub(amount).ok_or_else(|| invalid("not enough money"))?;
        let parent = turn.parent()?;
        let data = node::encode(&(u64::MAX, to, amount)).map_err(invalid)?;
        Ok(turn.send(parent, &data, &[], 0)?)
    }
}

/// A host that owns the loop.
pub struct Host {
    hypervisor: Hypervisor,
    bank: ContainerId,
}

type Failure = Box<dyn std::error::Error>;

impl Host {
    /// Starts with a bank and its accounts.
    ///
    /// # Errors
    /// If the hypervisor cannot be started.
    pub async fn start(threads: NonZeroUsize) -> Result<Host, Failure> {
        let hypervisor = of_the_chain(Hypervisor::builder(), threads).build().await?;
        let created = hypervisor.create_instance("bank", "", Ipld::Null);
        let (bank, ran) = tokio::join!(created, hypervisor.run_until_idle());
        ran?;
        Ok(Host { bank: bank?, hypervisor })
    }

    /// Goes on from a checkpoint that another host has exported.
    ///
    /// # Errors
    /// If the file is not one, or the hypervisor cannot be started.
    pub async fn resume(car: impl Read + Seek, threads: NonZeroUsize) -> Result<Host, Failure> {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let checkpoint = import_car(&store, car, ImportLimits::default())?;
        let hypervisor = of_the_chain(Hypervisor::resume(store, &checkpoint), threads).build().await?;
        Ok(Host { bank: ContainerId::ROOT, hypervisor })
    }

    /// Writes all that another host needs to go on from here: containers, and what is under way between them.
    ///
    /// # Errors
    /// If the hypervisor fails or the output refuses.
    pub async fn export_checkpoint(&self, car: impl Write + Send + 'static) -> Result<(), Failure> {
        let checkpoint = self.hypervisor.checkpoint().await?;
        self.hypervisor.export_root(&checkpoint, car).await?;
        Ok(self.hypervisor.release_root(&checkpoint).await?)
    }

    /// Runs a block's messages and gives the state root after them.
    ///
    /// # Errors
    /// If the hypervisor fails.
    pub async fn execute(&self, messages: &[Vec<u8>]) -> Result<Cid, Failure> {
        for data in messages {
            // Under way when `send` returns. Its receipt may come blocks later; nobody waits for it here.
            drop(self.hypervisor.send(&self.bank, Message { data: data.clone(), ..Message::default() }));
        }
        let ran = self.hypervisor.run(Budget { ticks: Some(BLOCK_TICKS), turns: None }).await?;
        // What is left has later delivery ticks than all that ran.
        let cut = ran.next.map_or(Ticks::MAX, |next| Ticks(next.0 - 1));
        Ok(self.hypervisor.create_state_root(&self.bank, cut).await?)
    }
}

/// What is the same for every host of the chain, but for the threads, which nobody can tell.
fn of_the_chain(builder: Builder, threads: NonZeroUsize) -> Builder {
    let settings = Settings { threads: Some(threads), turns_by: TurnsBy::Host, ..Settings::default() };
    let builder = builder.settings(settings);
    let builder = builder.register_container("bank", NativeType::<Bank>::new());
    builder.register_container("account", NativeType::<Account>::new())
}

/// Payments of one block.
fn payments(height: u64) -> Result<Vec<Vec<u8>>, Failure> {
    let payment = |n: u64| {
        let payment: Payment = ((height + n) % ACCOUNTS, (height * n + 3) % ACCOUNTS, 10 * n + height);
        Ok(node::encode(&payment)?)
    };
    (0..4).map(payment).collect()
}

/// Makes a chain longer by so many blocks.
///
/// # Errors
/// If the host fails.
pub async fn make_blocks(host: &Host, chain: &mut Vec<Block>, blocks: u64) -> Result<(), Failure> {
    for _ in 0..blocks {
        let messages = payments(chain.len() as u64)?;
        let state_root = host.execute(&messages).await?;
        let parent_root = chain.last().map(|block| block.state_root);
        chain.push(Block { parent_root, state_root, messages });
    }
    Ok(())
}

/// Runs a chain that somebody else made, and holds it to the roots in its headers.
///
/// # Errors
/// If the host fails, or comes to another root.
pub async fn replay(host: &Host, chain: &[Block]) -> Result<(), Failure> {
    for (height, block) in chain.iter().enumerate() {
        let root = host.execute(&block.messages).await?;
        if root != block.state_root {
            return Err(format!("block {height} says {}, its messages give {root}", block.state_root).into());
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let one = Host::start(NonZeroUsize::MIN).await?;
    let (mut chain, car) = (Vec::new(), tempfile::tempfile()?);
    make_blocks(&one, &mut chain, 4).await?;
    one.export_checkpoint(car.try_clone()?).await?;
    make_blocks(&one, &mut chain, 4).await?;
    for (height, block) in chain.iter().enumerate() {
        println!("{height}: {} messages, {}", block.messages.len(), block.state_root);
    }
    let four = Host::start(NonZeroUsize::MIN.saturating_add(3)).await?;
    replay(&four, &chain).await?;
    println!("replayed on four threads: every root is the same");
    (&car).rewind()?;
    let late = Host::resume(car, NonZeroUsize::MIN.saturating_add(1)).await?;
    replay(&late, &chain[4..]).await?;
    println!("replayed from a checkpoint half-way, on two threads: every root from there is the same");
    Ok(())
}
