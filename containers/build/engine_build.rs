//! Builds the JS engine, a wasm module, from QuickJS-ng's sources and our shim and prelude. Used by the build script and by the
//! test that builds it again from another folder and compares the bytes.
//!
//! Invariants:
//! 1. Sources are used only if every file that goes in has the SHA-256 that `engine/sources.sha256` lists.
//! 2. No path, time or machine gets into the module: same sources and compiler, same bytes.
//! 3. Whatever is missing ends in one message that says what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// The version of the PyPI package `ziglang` whose output is the reference engine.
pub(crate) const ZIG_VERSION: &str = "0.15.2";

/// C files of QuickJS and its libc's tail, below the sources' folder. `quickjs.c` is part of our `engine.c`.
const SOURCE_UNITS: [&str; 4] =
    ["quickjs/libregexp.c", "quickjs/libunicode.c", "quickjs/dtoa.c", "wasm-shim/shim.c"];

/// C files of ours, below `engine/shim`.
const SHIM_UNITS: [&str; 12] = [
    "engine.c",
    "memory.c",
    "placement.c",
    "life.c",
    "turn.c",
    "fields.c",
    "program.c",
    "handlers.c",
    "ports.c",
    "syscalls.c",
    "natives.c",
    "web.c",
];

/// The prelude, in the order in which it runs.
const PRELUDE: [&str; 14] = [
    "inspect.js",
    "cid.js",
    "text.js",
    "url.js",
    "streams.js",
    "fetch.js",
    "console.js",
    "clone.js",
    "crypto.js",
    "names.js",
    "calls.js",
    "links.js",
    "requests.js",
    "timers.js",
];

/// The modules that a program may import, and those that they are made of, without the `everturn:` of their names. They are text in the
/// engine's data: no container pays for what it does not import.
const MODULES: [&str; 27] = [
    "data",
    "data/bags",
    "data/btree",
    "data/conditions",
    "data/cursor",
    "data/define",
    "data/errors",
    "data/exchange",
    "data/extent",
    "data/field",
    "data/indexes",
    "data/intake",
    "data/model",
    "data/order",
    "data/paths",
    "data/planner",
    "data/query",
    "data/relations",
    "data/revisions",
    "data/rows",
    "data/rowtext",
    "data/schema",
    "data/show",
    "data/slots",
    "data/store",
    "data/types",
    "nodb",
];

/// What the host may limit or must know is fixed here: 1 MiB of stack below everything else, and as much memory as the rehearsal of
/// `placement.c` needs, which programs get later.
const LINK_FLAGS: [&str; 9] = [
    "--no-entry",
    "--export-memory",
    "--export=__stack_pointer",
    "--gc-sections",
    "--stack-first",
    "-z",
    "stack-size=1048576",
    "--initial-memory=3145728",
    "--strip-all",
];

/// A C compiler and a linker that know wasm32.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    pub(crate) cc: Vec<String>,
    pub(crate) ld: Vec<String>,
    dialect: Dialect,
    /// For people: which compiler, which version.
    pub(crate) description: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Zig,
    Clang,
}

/// Where the two halves of the engine lie.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// The unpacked package `rquickjs-sys`.
    pub(crate) sources: PathBuf,
    /// Our folder `engine`.
    pub(crate) engine: PathBuf,
}

impl Compiler {
    /// Finds a compiler: `EVERTURN_WASM_CC` and `EVERTURN_WASM_LD` (commands), else the pinned one in `build/ziglang` of the
    /// workspace, else an installed Python package of that version, else a clang with a linker for wasm.
    ///
    /// # Errors
    /// A message that says what to install or to set.
    pub(crate) fn find(workspace: &Path) -> Result<Self, String> {
        if let Some(command) = words_of("EVERTURN_WASM_CC") {
            return Self::from_command(command);
        }
        let pinned = pinned_zig(workspace);
        if pinned.exists() {
            return Self::zig(vec![pinned.display().to_string()]);
        }
        let module = ["python3".to_owned(), "-m".to_owned(), "ziglang".to_owned()];
        if output_of(&module, &["version"]).as_deref() == Some(ZIG_VERSION) {
            return Self::zig(module.to_vec());
        }
        Self::clang(vec!["clang".to_owned()], None).ok_or_else(no_compiler)
    }

    /// What makes it compile for wasm32, with the instructions that are turned on.
    pub(crate) fn target_flags(&self) -> &'static [&'static str] {
        match self.dialect {
            Dialect::Zig => {
                &["--target=wasm32-other", "-mcpu=generic+bulk_memory+sign_ext+nontrapping_fptoint"]
            }
            Dialect::Clang => {
                &["--target=wasm32-unknown-unknown", "-mbulk-memory", "-msign-ext", "-mnontrapping-fptoint"]
            }
        }
    }

    fn from_command(command: Vec<String>) -> Result<Self, String> {
        let linker = words_of("EVERTURN_WASM_LD");
        if command.iter().any(|word| word.contains("zig")) {
            return Self::zig(command);
        }
        let name = command.join(" ");
        Self::clang(command, linker).ok_or_else(|| {
            format!(
                "EVERTURN_WASM_CC is `{name}`, which is no clang that knows wasm32, or there is no wasm-ld beside it: \
                 set EVERTURN_WASM_LD (for example to \"wasm-ld-19\"), or unset both and run `make compiler`."
            )
        })
    }

    fn zig(command: Vec<String>) -> Result<Self, String> {
        let version = output_of(&command, &["version"]).ok_or_else(|| {
            format!(
                "`{} version` does not run: remove build/ziglang and run `make compiler`.",
                command.join(" ")
            )
        })?;
        let with = |tool: &str| command.iter().cloned().chain([tool.to_owned()]).collect();
        Ok(Self {
            cc: with("cc"),
            ld: with("wasm-ld"),
            dialect: Dialect::Zig,
            description: format!("ziglang {version}"),
        })
    }

    fn clang(command: Vec<String>, linker: Option<Vec<String>>) -> Option<Self> {
        output_of(&command, &["--print-targets"]).filter(|targets| targets.contains("wasm32"))?;
        let version = output_of(&command, &["--version"])?.lines().next()?.trim().to_owned();
        let ld = linker.or_else(wasm_linker)?;
        Some(Self { cc: command, ld, dialect: Dialect::Clang, description: version })
    }
}

/// Where `make compiler` puts the pinned compiler.
pub(crate) fn pinned_zig(workspace: &Path) -> PathBuf {
    workspace
        .join("build")
        .join("ziglang")
        .join("ziglang")
        .join(format!("zig{}", std::env::consts::EXE_SUFFIX))
}

fn no_compiler() -> String {
    format!(
        "The JS engine is C that is compiled to wasm32, and no compiler for that was found.\n\
         Run `make compiler`: it puts the pinned one (the Python package ziglang {ZIG_VERSION}, 93 MB) into build/ziglang.\n\
         Or install clang and lld, or set EVERTURN_WASM_CC and EVERTURN_WASM_LD to a clang and a wasm-ld."
    )
}

/// `wasm-ld`, else the linker that every Rust installation carries.
fn wasm_linker() -> Option<Vec<String>> {
    let plain = vec!["wasm-ld".to_owned()];
    if output_of(&plain, &["--version"]).is_some() {
        return Some(plain);
    }
    let sysroot = output_of(&["rustc".to_owned()], &["--print", "sysroot"])?;
    let hosts = fs::read_dir(Path::new(&sysroot).join("lib/rustlib")).ok()?;
    let linker = hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|path| path.exists())?;
    Some(vec![linker.display().to_string(), "-flavor".to_owned(), "wasm".to_owned()])
}

fn words_of(variable: &str) -> Option<Vec<String>> {
    let value = std::env::var(variable).ok()?;
    let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

/// What a command prints, if it runs and succeeds.
fn output_of(command: &[String], arguments: &[&str]) -> Option<String> {
    let output = Command::new(&command[0]).args(&command[1..]).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Checks every file that goes into the engine against the committed list, which has lines as `sha256sum` writes them.
///
/// # Errors
/// A message that names the first file that is missing or another.
pub(crate) fn verify_sources(inputs: &Inputs) -> Result<(), String> {
    let list = inputs.engine.join("sources.sha256");
    for line in read_text(&list)?.lines() {
        let (expected, name) = line
            .split_once("  ")
            .ok_or_else(|| format!("{}: not a line of sha256sum: {line}", list.display()))?;
        let path = inputs.sources.join(name);
        let bytes = fs::read(&path).map_err(|error| wrong_sources(&path, &error.to_string()))?;
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != expected {
            return Err(wrong_sources(
                &path,
                "its SHA-256 is not the one listed in containers/engine/sources.sha256",
            ));
        }
    }
    Ok(())
}

fn wrong_sources(path: &Path, what: &str) -> String {
    format!(
        "{}: {what}. The engine is built from exactly rquickjs-sys 0.14.0: remove that folder and run `cargo fetch`, or set \
         EVERTURN_QUICKJS_SOURCE to an unpacked copy.",
        path.display()
    )
}

/// Builds `engine.wasm` in the folder `out`, which must exist, and returns its path.
///
/// # Errors
/// A message with what the compiler said.
pub(crate) fn build(inputs: &Inputs, out: &Path, compiler: &Compiler) -> Result<PathBuf, String> {
    write_prelude(&inputs.engine, &out.join("prelude.h"))?;
    write_modules(&inputs.engine, &out.join("modules.h"))?;
    let shim = SHIM_UNITS.iter().map(|name| inputs.engine.join("shim").join(name));
    let sources = SOURCE_UNITS.iter().map(|name| inputs.sources.join(name));
    let units: Vec<PathBuf> = shim.chain(sources).collect();
    let objects: Vec<PathBuf> = units.iter().enumerate().map(|(i, unit)| object_of(out, i, unit)).collect();
    compile_all(inputs, out, compiler, &units, &objects)?;
    link(inputs, out, compiler, &objects)
}

fn object_of(out: &Path, index: usize, unit: &Path) -> PathBuf {
    let name = unit.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    out.join(format!("{index:02}-{name}.o"))
}

/// `engine.c` takes as long as all others together, so two threads are enough.
fn compile_all(
    inputs: &Inputs,
    out: &Path,
    compiler: &Compiler,
    units: &[PathBuf],
    objects: &[PathBuf],
) -> Result<(), String> {
    let compile = |range: std::ops::Range<usize>| {
        range.into_iter().try_for_each(|i| compile_unit(inputs, out, compiler, &units[i], &objects[i]))
    };
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| compile(1..units.len()));
        let first = compile(0..1);
        let rest = rest.join().map_err(|_| "a thread that compiles panicked".to_owned())?;
        first.and(rest)
    })
}

fn compile_unit(
    inputs: &Inputs,
    out: &Path,
    compiler: &Compiler,
    unit: &Path,
    object: &Path,
) -> Result<(), String> {
    let libc = inputs.sources.join("vendor/wasi-libc/include");
    let quickjs = inputs.sources.join("quickjs");
    let mut command = command_of(&compiler.cc, out);
    command.args(compiler.target_flags());
    command.args(["-O2", "-g0", "-std=gnu11", "-w", "-fno-sanitize=all"]);
    command.args(["-DNDEBUG", "-D_GNU_SOURCE", "-DEMSCRIPTEN=1", "-DFE_DOWNWARD=0", "-DFE_UPWARD=0"]);
    for (path, name) in
        [(&inputs.sources, "quickjs"), (&inputs.engine, "engine"), (&out.to_path_buf(), "out")]
    {
        command.arg(format!("-ffile-prefix-map={}={name}", path.display()));
    }
    command.arg("-isystem").arg(libc).arg("-I").arg(quickjs).arg("-I").arg(out);
    command.arg("-I").arg(inputs.engine.join("shim"));
    command.arg("-c").arg(unit).arg("-o").arg(object);
    run(command)
}

fn link(inputs: &Inputs, out: &Path, compiler: &Compiler, objects: &[PathBuf]) -> Result<PathBuf, String> {
    let module = out.join("engine.wasm");
    let mut command = command_of(&compiler.ld, out);
    command.args(LINK_FLAGS).args(objects);
    command.arg(inputs.sources.join("vendor/wasi-libc/lib/libc.a")).arg("-o").arg(&module);
    run(command)?;
    Ok(module)
}

/// The compiler's own caches stay in the build's folder.
pub(crate) fn command_of(words: &[String], out: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
        .env("ZIG_GLOBAL_CACHE_DIR", out.join("zig-cache"))
        .env("ZIG_LOCAL_CACHE_DIR", out.join("zig-cache"));
    command
}

pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?} does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// The prelude's files, and the program of the rehearsal, as C arrays, ended by a zero that QuickJS's parser wants.
fn write_prelude(engine: &Path, header: &Path) -> Result<(), String> {
    let mut text = String::from("struct PreludeFile { const char *name, *source; unsigned bytes; };\n");
    let mut table = String::from("static const struct PreludeFile PRELUDE_FILES[] = {\n");
    for (i, name) in PRELUDE.iter().enumerate() {
        let source = read_text(&engine.join("prelude").join(name))?;
        text.push_str(&c_array(&format!("PRELUDE_{i}"), &source));
        table.push_str(&format!("  {{\"everturn:{name}\", PRELUDE_{i}, {}}},\n", source.len()));
    }
    text.push_str(&table);
    text.push_str("};\n");
    text.push_str(&c_array("REHEARSAL", &read_text(&engine.join("rehearsal.js"))?));
    fs::write(header, text).map_err(|error| format!("{}: {error}", header.display()))
}

/// The modules' files as C arrays, and the names of those that are for programs.
fn write_modules(engine: &Path, header: &Path) -> Result<(), String> {
    let (mut sources, mut files) = (String::new(), String::new());
    for name in MODULES {
        let source = read_text(&engine.join("modules").join(format!("{name}.js")))?;
        files.push_str(&format!("  {{\"everturn:{name}\", {}, {}}},\n", sources.len(), source.len()));
        sources.push_str(&source);
        sources.push('\0');
    }
    let mut text = c_array("MODULE_TEXT", &sources);
    text.push_str("static const struct { const char *name; unsigned at, bytes; } MODULE_FILES[] = {\n");
    text.push_str(&files);
    let public: Vec<String> =
        MODULES.iter().filter(|name| !name.contains('/')).map(|name| format!("everturn:{name}")).collect();
    text.push_str(&format!("}};\n#define MODULE_NAMES \"{}\"\n", public.join(", ")));
    fs::write(header, text).map_err(|error| format!("{}: {error}", header.display()))
}

fn c_array(name: &str, source: &str) -> String {
    let bytes: Vec<String> = source.bytes().chain([0]).map(|byte| byte.to_string()).collect();
    format!("static const char {name}[] = {{{}}};\n", bytes.join(","))
}

fn read_text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
