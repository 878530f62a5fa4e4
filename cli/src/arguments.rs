//! The command line, and the help that describes it.

mod serve;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use everturn::outbound::AllowedHost;
use everturn::{Cid, Ipld, Limit};

use everturn::link::PeerKey;

use crate::links::LinkArguments;
use crate::{exit, json};

pub(crate) use serve::ServeArguments;

/// JavaScript that never forgets.
///
/// everturn runs JavaScript in a container whose whole memory (variables, closures, pending promises) is on disk
/// after every turn. Kill the program at any instant, start it again, and it goes on where it was.
///
/// Each line of the shell, each message and each loaded file is one turn: all of its effects happen or none do.
#[derive(Debug, Parser)]
#[command(
    name = "everturn",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_long_help = after_long_help()
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Clone, Debug, Args)]
pub(crate) struct Globals {
    /// The data folder: everything that is remembered
    ///
    /// One program uses it at a time; commands attach to one that serves it. It is made when it is first needed; copy or delete it while no program uses it.
    #[arg(long, global = true, value_name = "DIR", default_value = "everturn-data")]
    pub(crate) data: PathBuf,

    /// A bound of every container in a new folder, which keeps it: what one turn may burn, how large a heap may be
    ///
    /// May be given several times. The bounds are turn_fuel (2,000,000,000 unless said: about half a second of JavaScript), container_fuel,
    /// heap_bytes_max, message_bytes_max, ports_max, effects_max, outbox_bytes_max, queue_places_max, depth_max and timers_max. A turn that
    /// passes one is discarded, or a call in it refused. They are part of what a container becomes, so a folder that has containers has its own.
    #[arg(long = "limit", global = true, value_name = "BOUND=NUMBER", value_parser = limit)]
    pub(crate) limits: Vec<(Limit, u64)>,

    /// Answer with one JSON object a line, for programs
    ///
    /// Each object has a field "event" that says what it tells: answer, backup, check, compared, container, error, exception,
    /// exported, heap, help, id, imported, interrupted, kept, line (something was printed), links, listening, loaded, lost, peer, port,
    /// ports, refused, replayed, result, root, session, undone, version or warning.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say on standard error what happens inside (-vv: everything)
    ///
    /// The variable RUST_LOG, where it is set, says in detail what is shown.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// How what is said on standard error by -v or RUST_LOG is written
    ///
    /// In either form what happens in a turn carries the turn: its container, the ticks before it, and its message by the port through
    /// which it came and its delivery tick.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

/// A bound and how much it is.
fn limit(text: &str) -> Result<(Limit, u64), String> {
    let (name, most) =
        text.split_once('=').ok_or("a bound is BOUND=NUMBER, such as turn_fuel=20000000000")?;
    let limit = Limit::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Limit::ALL.into_iter().map(Limit::name).collect();
        format!("there is no bound {name:?}; there are {}", names.join(", "))
    })?;
    let most = most.replace(['_', ','], "").parse().map_err(|_| format!("{most:?} is no whole number"))?;
    Ok((limit, most))
}

/// How tracing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Talk to the container, line by line
    ///
    /// On a terminal: a prompt with line editing, history, completion of names with Tab, and input over several lines.
    /// Ctrl-C clears a line, discards a turn that is running, and at an empty line leaves; Ctrl-D leaves.
    ///
    /// With other input (a pipe, a file) each complete statement is a turn and each result a line; a statement that
    /// throws is reported, the next one is read, and the exit code is 1 at the end.
    ///
    /// Lines that begin with a point are for the shell itself: .help lists them.
    #[command(after_long_help = "\
Examples:
  everturn shell --data demo
  echo 'var n = (globalThis.n ?? 0) + 1; n' | everturn shell --data demo")]
    Shell(ShellArguments),

    /// Evaluate one expression and print what it comes to
    #[command(after_long_help = "\
Examples:
  everturn eval '6 * 7'
  everturn eval --data demo 'a()'
  everturn eval --json '({ x: 1 })'")]
    Eval(EvalArguments),

    /// Run a program: begin it or wake it, deliver messages, print the state root
    ///
    /// In a new data folder FILE is evaluated once and becomes the container's program. Later the living container is
    /// woken, provided that FILE is unchanged; an edited FILE needs --reload (or `everturn load`). The messages are
    /// then delivered in order, and everything runs until nothing is queued. Answers are printed as JSON.
    ///
    /// The last line is the state root: the address of all that the container has become.
    #[command(after_long_help = "\
Examples:
  everturn run app.js
  everturn run app.js --message '{\"n\": 1}' --message '{\"n\": 2}'
  everturn run app.js --reload
  everturn run counter.wasm --message 3")]
    Run(RunArguments),

    /// Serve a program over HTTP: begin it or wake it, answer requests until a signal
    ///
    /// FILE is treated as `run` treats it: evaluated once in a new data folder, woken later, --reload takes up what was
    /// edited. The program answers with `export default { fetch(request) { return new Response(...) } }`.
    ///
    /// Each request is a turn, and its answer leaves when the turn is durable: a client that has an answer never sees it
    /// undone. SIGTERM and Ctrl-C end in order: requests under way get their answers.
    #[command(after_long_help = "\
Examples:
  everturn serve examples/counter.js --data demo
  everturn serve app.js --http 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  everturn serve app.js --admin 127.0.0.1:9100")]
    Serve(ServeArguments),

    /// Evaluate an edited file in the living heap, as one turn
    ///
    /// Functions and classes are replaced by the file's, what the heap holds stays. If the file throws, nothing has
    /// happened.
    #[command(after_long_help = "\
Example:
  everturn load --data demo app.js")]
    Load(LoadArguments),

    /// Print the state root: the address of all that the container is
    ///
    /// The same messages give the same root, on any machine.
    #[command(after_long_help = "\
Example:
  everturn root --data demo")]
    Root(RootArguments),

    /// Show the tree of containers: type, ticks, queued messages, heap
    ///
    /// Nothing runs before it is shown, except what was queued when the folder was left.
    Inspect,

    /// Look at all of the data folder: every block, every count, every record
    ///
    /// Each block is hashed again, each reference counted anew, each container followed to its owner, each root to its end.
    /// Nothing is changed. What is wrong is told, and the exit code is 3.
    Check,

    /// Copy the data folder, as it is at one instant, to a new one
    ///
    /// The copy is whole or not there. In a shell that is running, `.backup DIR` does the same.
    #[command(after_long_help = "\
Example:
  everturn backup --data demo demo-backup")]
    Backup(BackupArguments),

    /// Write the state, or a checkpoint, to a CAR file
    ///
    /// The file carries all that the root needs, the engine included, and can be checked by whoever gets it: a root is the
    /// address of everything under it. Prints the root.
    #[command(after_long_help = "\
Examples:
  everturn export state.car
  everturn export --checkpoint whole.car
  everturn export --root bafyrei... old.car")]
    Export(ExportArguments),

    /// Bring a state from a CAR file to life, or go on from a checkpoint
    ///
    /// The whole file is checked before anything is written: what is damaged, incomplete or too large is refused and changes
    /// nothing. A state becomes a container of its own; a checkpoint needs a new data folder. Prints the root.
    #[command(after_long_help = "\
Example:
  everturn import --data elsewhere state.car")]
    Import(ImportArguments),

    /// Run kept inputs again, in memory, and compare what comes of them
    ///
    /// What was kept since the checkpoint is run once more: the same messages, dates, timers and random bytes. Every state root that was
    /// made since, and the last state of each root container, is compared with what comes of it, a line each. The
    /// folder is read, not changed, and nothing that the containers send leaves. The exit code is 0 if all is equal,
    /// and 1 with the first difference if not.
    #[command(after_long_help = "\
Examples:
  everturn run app.js --keep-inputs
  everturn replay --from bafyrei...
  everturn replay --forget")]
    Replay(ReplayArguments),

    /// Take instances of everturn:data out as text, or in
    Data(DataArguments),

    /// Print this data folder's key, by which other hypervisors know it
    ///
    /// The key is made when it is first needed, in the file link.key, which only its owner may read.
    Id,

    /// Say which other hypervisors messages are exchanged with
    ///
    /// Also while a program keeps the links of the data folder.
    Peers(PeersArguments),

    /// Print what this program is made of
    ///
    /// The engine's address tells which heaps run on it: a heap stays with the engine that wrote it.
    Version,

    /// Print a script that completes everturn's commands in your shell
    #[command(after_long_help = "\
Examples:
  everturn completions bash > ~/.local/share/bash-completion/completions/everturn
  everturn completions zsh > ~/.zfunc/_everturn")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// What a program may reach.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetArguments {
    /// Let the program fetch from this host; may be given several times
    ///
    /// Without a port, from all of the host's. A redirect to another host needs its own.
    #[arg(long = "allow-net", value_name = "HOST[:PORT]")]
    pub(crate) allow_net: Vec<AllowedHost>,
}

/// Whether inputs are kept.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct KeepArguments {
    /// Keep what comes from outside from now on, so that `everturn replay` can run it again
    ///
    /// Begins with a checkpoint, whose address is told. The data folder remembers: later commands go on keeping without this
    /// option, until `everturn replay --forget`.
    #[arg(long)]
    pub(crate) keep_inputs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// The checkpoint with which keeping began; `everturn inspect` shows it
    #[arg(long, value_name = "CID", required_unless_present = "forget")]
    pub(crate) from: Option<Cid>,

    /// Run containers on so many threads, instead of one for each core
    #[arg(long, value_name = "N", conflicts_with = "forget")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Remove what is kept, and keep no more
    #[arg(long, conflicts_with = "from")]
    pub(crate) forget: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShellArguments {
    #[command(flatten)]
    pub(crate) net: NetArguments,

    #[command(flatten)]
    pub(crate) keep: KeepArguments,

    #[command(flatten)]
    pub(crate) links: LinkArguments,

    /// Keep no undo points
    ///
    /// Before each line the shell addresses the state that .undo would return to. For a long stream of lines that
    /// costs time and disk; with this option it is left out, and .undo has nothing to take back.
    #[arg(long)]
    pub(crate) no_undo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArguments {
    #[command(flatten)]
    pub(crate) net: NetArguments,

    /// JavaScript; what it declares stays
    #[arg(value_name = "EXPR", allow_negative_numbers = true)]
    pub(crate) expression: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) net: NetArguments,

    #[command(flatten)]
    pub(crate) keep: KeepArguments,

    /// The program: JavaScript, or a WebAssembly module
    pub(crate) file: PathBuf,

    /// A message to deliver; may be given several times
    ///
    /// The program takes it in `export default { message(msg) { ... } }`, as `msg.data`.
    #[arg(long = "message", value_name = "JSON", allow_hyphen_values = true, value_parser = json::parse)]
    pub(crate) messages: Vec<Ipld>,

    /// If FILE was edited, evaluate it in the living heap first
    #[arg(long)]
    pub(crate) reload: bool,

    #[command(flatten)]
    pub(crate) links: LinkArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArguments {
    #[command(subcommand)]
    pub(crate) command: PeersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeersCommand {
    /// Make one known: what is sent to ADDRESS is for the owner of KEY, and what that one sends comes from ADDRESS
    #[command(after_long_help = "\
Example:
  everturn peers add --data a 127.0.0.1:6002 $(everturn id --data b)")]
    Add {
        /// Where it listens, HOST:PORT
        address: String,
        /// What `everturn id` prints there
        key: PeerKey,
    },
    /// Print all, with how much went and came, and why a link has stopped
    List,
    /// Forget one, and what waits for it
    Remove {
        /// Its address
        address: String,
    },
    /// Begin a link anew that has stopped
    ///
    /// A link stops where the two sides do not agree about what was sent: one of them goes on from an old backup, or two copies
    /// of its folder are in use. Both sides have to do this. What waits is sent again, and may arrive a second time.
    Resolve {
        /// Its address
        address: String,
        /// Drop what waits instead of sending it again
        #[arg(long)]
        drop: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// The edited program
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RootArguments {
    /// The state after exactly the turns up to this tick, instead of when nothing is queued
    #[arg(long, value_name = "N")]
    pub(crate) ticks: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// The new folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file to write
    pub(crate) file: PathBuf,

    /// This root, which has to be in the data folder, instead of the present state
    #[arg(long, value_name = "CID", conflicts_with = "checkpoint")]
    pub(crate) root: Option<Cid>,

    /// Everything that is needed to go on bit for bit: all containers, queues and the clock
    #[arg(long)]
    pub(crate) checkpoint: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DataArguments {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Print instances, one a line
    ///
    /// Lines of JSON name model, id and fields; references are ids. CSV is of one model, with its fields' names on the first line.
    #[command(after_long_help = "\
Examples:
  everturn data export --data demo > all.jsonl
  everturn data export --data demo --format csv --model Person")]
    Export(DataExport),

    /// Take instances in: all that a file has, or none
    ///
    /// The models have to be defined. Each row is checked as create() would check it; ids tie the rows of a file together, and the
    /// instances get ids of their own.
    #[command(after_long_help = "\
Examples:
  everturn data import --data demo all.jsonl
  everturn data import --data demo --format csv --model Person people.csv")]
    Import(DataImport),
}

#[derive(Debug, Args)]
pub(crate) struct DataExport {
    /// How rows are written
    #[arg(long, value_enum, default_value_t = RowFormat::Json, requires_if("csv", "model"))]
    pub(crate) format: RowFormat,

    /// Instances of this model alone
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DataImport {
    /// The file to read
    pub(crate) file: PathBuf,

    /// How rows are written
    #[arg(long, value_enum, default_value_t = RowFormat::Json, requires_if("csv", "model"))]
    pub(crate) format: RowFormat,

    /// The model of the rows of CSV
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

/// How instances are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// A line of JSON for each
    Json,
    /// Comma separated values
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The file to read
    pub(crate) file: PathBuf,

    /// What the container is called; `main` is the one that the other commands speak to
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) name: String,

    /// What runs a state: by custom, whichever of them its heap is one of
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    pub(crate) container_type: Option<StateType>,

    /// Refuse a file of more blocks
    #[arg(long, value_name = "N")]
    pub(crate) blocks_max: Option<u64>,

    /// Refuse a larger file
    #[arg(long, value_name = "BYTES")]
    pub(crate) bytes_max: Option<u64>,
}

/// The container types that a state can be of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StateType {
    /// JavaScript
    Js,
    /// A WebAssembly module
    Wasm,
}

fn after_long_help() -> String {
    format!(
        "\
Examples:
  everturn shell --data demo          talk to a container that remembers
  everturn run app.js                 run a program until it is idle
  everturn serve app.js               answer HTTP requests
  everturn eval --data demo 'a()'     one expression

{}

Environment:
  EVERTURN_CACHE    folder for compiled engines (default: everturn in the user's cache folder)
  EVERTURN_TRACKER  how changed memory pages are found: write-protect, private-bit or compare
  RUST_LOG          what tracing shows
  NO_COLOR          if set, nothing is coloured",
        exit::TABLE
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let before = Arguments::try_parse_from(["everturn", "--data", "d", "root"]).unwrap();
        let after = Arguments::try_parse_from(["everturn", "root", "--data", "d"]).unwrap();
        assert_eq!(before.globals.data, PathBuf::from("d"));
        assert_eq!(after.globals.data, PathBuf::from("d"));
    }

    #[test]
    fn a_message_that_is_no_json_is_refused_with_its_place() {
        let error =
            Arguments::try_parse_from(["everturn", "run", "a.js", "--message", "{\"n\": }"]).unwrap_err();
        assert!(error.to_string().contains("column 7"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
