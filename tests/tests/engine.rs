//! The engine is the same wherever it is built: same sources, same compiler, same bytes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use everturn::address::raw_cid;
use everturn::js::JsType;

use crate::world::{Ways, js};

#[allow(dead_code, reason = "the build script uses more of it")]
#[path = "../../containers/build/engine_build.rs"]
pub(crate) mod engine_build;

use engine_build::{Compiler, Inputs, ZIG_VERSION, build, verify_sources};

/// The package that carries QuickJS, as the build script looks for it.
const PACKAGE: (&str, &str) = ("rquickjs-sys", "0.14.0");
/// The folders of it that go into the engine.
const SOURCE_FOLDERS: [&str; 3] = ["quickjs", "vendor", "wasm-shim"];

/// Builds the engine once more, from copies of everything that lie elsewhere and deeper, into another folder. Takes as
/// long as the build script: some 20 seconds.
#[test]
fn another_folder_gives_the_same_engine() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace");
    let compiler = match Compiler::find(workspace) {
        Ok(compiler) => compiler,
        Err(why) => return println!("skipped: {why}"),
    };
    assert_eq!(
        compiler.description,
        JsType::compiler(),
        "this program's engine was built by another compiler: touch containers/build.rs and build again"
    );
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("some/other place").join("with a longer name than usual");
    let inputs = copies(workspace, &elsewhere);
    verify_sources(&inputs).unwrap();
    let out = elsewhere.join("out");
    fs::create_dir(&out).unwrap();
    let engine = fs::read(build(&inputs, &out, &compiler).unwrap()).unwrap();

    let (own, cid) = (js(&Ways::default()), raw_cid(&engine));
    assert_eq!(cid, own.engine_cid(), "the engine depends on where it is built");
    assert!(!contains(&engine, folder.path().as_os_str().as_encoded_bytes()), "a path is in the engine");
    let reference = fs::read_to_string(workspace.join("containers/engine/REFERENCE")).unwrap();
    if compiler.description == format!("ziglang {ZIG_VERSION}") {
        assert_eq!(reference.trim(), cid.to_string(), "containers/engine/REFERENCE is to name this engine");
    }
    assert_eq!(own.is_reference(), reference.trim() == cid.to_string());
}

/// The engine's inputs, copied into a folder.
fn copies(workspace: &Path, folder: &Path) -> Inputs {
    let inputs = Inputs { sources: folder.join("sources"), engine: folder.join("engine") };
    let sources = sources(workspace);
    for name in SOURCE_FOLDERS {
        copy(&sources.join(name), &inputs.sources.join(name));
    }
    copy(&workspace.join("containers/engine"), &inputs.engine);
    inputs
}

fn sources(workspace: &Path) -> PathBuf {
    if let Some(folder) = std::env::var_os("EVERTURN_QUICKJS_SOURCE") {
        return folder.into();
    }
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
        .args([
            "metadata",
            "--format-version=1",
            "--filter-platform=wasm32-unknown-unknown",
            "--manifest-path",
        ])
        .arg(workspace.join("containers/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package =
        packages.iter().find(|package| package["name"] == PACKAGE.0 && package["version"] == PACKAGE.1);
    let manifest =
        package.and_then(|package| package["manifest_path"].as_str()).expect("the package is there");
    Path::new(manifest).parent().expect("a manifest lies in a folder").to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
