//! Finds QuickJS's sources and a compiler, and builds the JS engine. What it makes is named by `EVERTURN_ENGINE_WASM` (the
//! module's path) and `EVERTURN_ENGINE_COMPILER` (for people) in the crate's environment at compile time. Whether the module is
//! the reference engine is not decided here: see `engine/REFERENCE`.

#[path = "build/engine_build.rs"]
mod engine_build;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use engine_build::{Compiler, Inputs, build, pinned_zig, verify_sources};

/// The package that carries QuickJS-ng and its libc for wasm32, and its only version that will do.
const PACKAGE: (&str, &str) = ("rquickjs-sys", "0.14.0");

fn main() -> ExitCode {
    match make_engine() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={}", message.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn make_engine() -> Result<(), String> {
    let crate_folder = folder_of("CARGO_MANIFEST_DIR")?;
    let workspace = crate_folder.parent().ok_or("the crate is not in a workspace")?.to_path_buf();
    let inputs = Inputs { sources: find_sources(&crate_folder)?, engine: crate_folder.join("engine") };
    declare_inputs(&workspace, &inputs);
    verify_sources(&inputs)?;
    let compiler = Compiler::find(&workspace)?;
    let module = build(&inputs, &folder_of("OUT_DIR")?, &compiler)?;
    println!("cargo::rustc-env=EVERTURN_ENGINE_WASM={}", module.display());
    println!("cargo::rustc-env=EVERTURN_ENGINE_COMPILER={}", compiler.description);
    Ok(())
}

/// What, when it changes, makes another engine. A path that does not exist would make every build a new one, so it is left out.
fn declare_inputs(workspace: &Path, inputs: &Inputs) {
    for variable in ["EVERTURN_QUICKJS_SOURCE", "EVERTURN_WASM_CC", "EVERTURN_WASM_LD"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let ours =
        ["shim", "prelude", "modules", "rehearsal.js", "sources.sha256"].map(|name| inputs.engine.join(name));
    let build_files = ["build.rs", "build"].map(|name| workspace.join("containers").join(name));
    for path in ours.into_iter().chain(build_files).chain([inputs.sources.clone(), pinned_zig(workspace)]) {
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// The folder of the unpacked package: named by a variable, else where cargo has put it.
fn find_sources(crate_folder: &Path) -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("EVERTURN_QUICKJS_SOURCE") {
        return Ok(PathBuf::from(folder));
    }
    let metadata = cargo_metadata(crate_folder)?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages
        .iter()
        .find(|package| package["name"] == PACKAGE.0 && package["version"] == PACKAGE.1)
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            format!("{} {} is not among this workspace's packages: run `cargo fetch`.", PACKAGE.0, PACKAGE.1)
        })
}

/// The package is a dependency for wasm32 only, so that it is not compiled for this machine: cargo is asked about that platform,
/// and downloads it if it has to.
fn cargo_metadata(crate_folder: &Path) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version=1",
            "--filter-platform=wasm32-unknown-unknown",
            "--manifest-path",
        ])
        .arg(crate_folder.join("Cargo.toml"))
        .output()
        .map_err(|error| format!("cargo metadata does not run: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!(
        "cargo metadata failed; run `cargo fetch` while online, or set EVERTURN_QUICKJS_SOURCE to an unpacked {} {}. It said: {}",
        PACKAGE.0,
        PACKAGE.1,
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn folder_of(variable: &str) -> Result<PathBuf, String> {
    std::env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {variable}"))
}
