//! The examples in C and Rust, compiled as docs/guest-abi.md says, and what they do as containers.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use everturn::wasm::WasmType;
use everturn::{DiskStore, ExceptionKind, Hypervisor, Ipld, Message, Settings, Ticks, Unloading, node};

use super::world::{World, wasm_type};
use crate::engine::engine_build::{Compiler, command_of, run};
use crate::world::Ways;

const COMPILE: [&str; 3] = ["-O2", "-g0", "-c"];
const LINK: [&str; 4] = ["--no-entry", "--stack-first", "--export=__stack_pointer", "--strip-all"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// Compiles files of containers/guest into one module. The compiler is there: it has built the JavaScript engine.
fn c_module(sources: &[&str]) -> Vec<u8> {
    let compiler = Compiler::find(&workspace()).expect("the compiler that built the engine is there");
    let folder = tempfile::tempdir().unwrap();
    let mut link = command_of(&compiler.ld, folder.path());
    link.args(LINK);
    for (number, source) in sources.iter().enumerate() {
        let object = folder.path().join(format!("{number}.o"));
        let mut compile = command_of(&compiler.cc, folder.path());
        compile.args(compiler.target_flags()).args(COMPILE).args(["-Wall", "-Wextra", "-Werror"]);
        compile.arg(workspace().join("containers/guest").join(source)).arg("-o").arg(&object);
        run(compile).unwrap();
        link.arg(object);
    }
    let module = folder.path().join("guest.wasm");
    link.arg("-o").arg(&module);
    run(link).unwrap();
    fs::read(module).unwrap()
}

fn list_module() -> Vec<u8> {
    c_module(&["examples/list.c", "ken.c", "everturn.c"])
}

#[test]
fn the_document_has_these_commands() {
    let text = fs::read_to_string(workspace().join("docs/guest-abi.md")).unwrap();
    for flags in [COMPILE.join(" "), LINK.join(" ")] {
        assert!(text.contains(&flags), "docs/guest-abi.md does not say {flags}");
    }
}

#[test]
fn a_counter_in_c_counts() {
    let unloading = Settings { unloading: Unloading::EveryTurn, ..Settings::default() };
    let module = c_module(&["examples/counter.c", "everturn.c"]);
    let mut roots = Vec::new();
    for ways in [
        Ways::default(),
        Ways { restart_always: true, ..Ways::default() },
        Ways { settings: unloading, ..Ways::default() },
    ] {
        let mut world = World::new(ways);
        let counter = world.create("main", Ipld::Bytes(module.clone())).unwrap();
        assert_eq!(world.ask(&counter, 5), Ipld::Integer(5));
        assert_eq!(world.ask(&counter, 1_000_000_000_000i64), Ipld::Integer(1_000_000_000_005));
        assert_eq!(world.failure(&counter, "five").text, "not a whole number");
        assert_eq!(world.ask(&counter, -1_000_000_000_015i64), Ipld::Integer(-10));
        roots.push(world.state_root(&counter));
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "{roots:?}");
}

#[test]
fn a_program_written_for_ken_keeps_its_list() {
    let mut world = World::new(Ways { restart_always: true, ..Ways::default() });
    let list = world.create("main", Ipld::Bytes(list_module())).unwrap();
    for text in ["one", "two", "three"] {
        world.ask(&list, text);
    }
    let long = "x".repeat(500);
    world.ask(&list, Ipld::Bytes(long.clone().into_bytes()));
    assert_eq!(
        world.lines(),
        [
            "1 messages, from one to one".to_owned(),
            "2 messages, from one to two".to_owned(),
            "3 messages, from one to three".to_owned(),
            format!("4 messages, from one to {}", &long[..100]),
        ]
    );
}

#[test]
fn a_heap_that_is_full_is_an_exception_and_nothing_is_lost() {
    let mut settings = Settings::default();
    settings.limits.heap_bytes_max = 5 << 20;
    let mut world = World::new(Ways { settings, ..Ways::default() });
    let list = world.create("main", Ipld::Bytes(list_module())).unwrap();
    world.ask(&list, "first");
    let exception = world.failure(&list, Ipld::Bytes(vec![7; 4 << 20]));
    assert_eq!((exception.kind, exception.text.as_str()), (ExceptionKind::Throw, "no room for the input"));
    world.ask(&list, "second");
    assert_eq!(world.lines().last().map(String::as_str), Some("2 messages, from first to second"));
}

/// Kills of the real process.
const LIVES: usize = 12;

/// One life of the process that is killed: goes on with the list in this folder, and says what is acknowledged.
fn live(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = DiskStore::open(folder.join("store")).unwrap();
        let builder = Hypervisor::builder().store(store).on_line(|line| println!("said {}", line.text));
        let hypervisor = builder.build().await.unwrap();
        let wasm: WasmType = wasm_type(&Ways::default());
        hypervisor.register_container("wasm", wasm);
        let module = Ipld::Bytes(fs::read(folder.join("list.wasm")).unwrap());
        let list = hypervisor.get_or_create_instance("wasm", "list", module).await.unwrap();
        println!("ready");
        for number in 0.. {
            let data = node::encode(&Ipld::String(format!("message {number}"))).unwrap();
            let receipt = hypervisor.send(&list, Message { data, ..Message::default() }).await.unwrap();
            receipt.outcome.unwrap();
            hypervisor.wait(&list, Ticks::MAX).await.unwrap();
        }
    });
}

/// The real process, killed with SIGKILL while it works: every message that was acknowledged is in the list, in order and
/// whole, and at most the one under way besides.
#[test]
fn a_list_in_c_goes_on_after_each_of_many_kills() {
    if let Some(folder) = std::env::var_os("EVERTURN_LIVE_IN") {
        return live(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("list.wasm"), list_module()).unwrap();
    let mut acknowledged: u64 = 0;
    for life in 0..LIVES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "wasm::guests::a_list_in_c_goes_on_after_each_of_many_kills", "--nocapture"])
            .env("EVERTURN_LIVE_IN", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("ready")), "life {life} begins");
        let said: Vec<String> =
            lines.by_ref().filter(|line| line.contains("said ")).take(1 + 3 * life).collect();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it was the kill that ended it");
        let said: Vec<String> = said.into_iter().chain(lines.filter(|line| line.contains("said "))).collect();
        for (place, line) in said.iter().enumerate() {
            let number = line.split_whitespace().skip_while(|word| *word != "said").nth(1);
            let number: u64 = number.and_then(|number| number.parse().ok()).expect("a line says a number");
            // The message under way at a kill may have been kept without a word.
            let kept = if place == 0 { number.saturating_sub(acknowledged + 1) } else { 0 };
            assert!(
                kept <= 1 && number == acknowledged + 1 + kept,
                "life {life}: {line:?} after {acknowledged}"
            );
            assert!(line.contains(" messages, from message 0 to message "), "{line}");
            acknowledged = number;
        }
    }
    assert!(acknowledged >= LIVES as u64, "{acknowledged}");
    println!("{LIVES} kills, {acknowledged} messages acknowledged");
}

/// Rust's target for bare wasm need not be installed.
#[test]
fn a_counter_in_rust_counts() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("counter.wasm");
    let compiled = Command::new("rustc")
        .args(["--target", "wasm32-unknown-unknown", "--crate-type", "cdylib", "-O", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", "--edition", "2024", "-o"])
        .arg(&module)
        .arg(workspace().join("containers/guest/examples/counter.rs"))
        .output();
    match compiled {
        Ok(output) if output.status.success() => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("target may not be installed") => {
            return println!("skipped: the target wasm32-unknown-unknown is not installed");
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => return println!("skipped: rustc does not run: {error}"),
    }
    let mut world = World::new(Ways { restart_always: true, ..Ways::default() });
    let counter = world.create("main", Ipld::Bytes(fs::read(module).unwrap())).unwrap();
    assert_eq!(world.ask(&counter, 20), Ipld::Integer(20));
    assert_eq!(world.ask(&counter, 20), Ipld::Integer(40));
    assert_eq!(world.failure(&counter, 24).text, "not a number from 0 to 23");
}
