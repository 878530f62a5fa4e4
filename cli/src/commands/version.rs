//! `everturn version`: what this program is made of.

use std::env::consts::{ARCH, OS};

use everturn::Backend;
use everturn::js::JsType;
use serde_json::json;

use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(output: &Output) -> Result<Exit, Failure> {
    let engine = engine::started(engine::start()).await?;
    let (version, cid) = (env!("CARGO_PKG_VERSION"), engine.engine_cid().to_string());
    let (tracker, store) = (engine.tracker().to_string(), Backend::default().name());
    let compiler = JsType::compiler();
    let reference = match engine.is_reference() {
        true => "the reference engine",
        false => "not the reference engine: roots differ from those of other machines",
    };
    let text = format!(
        "everturn {version} ({ARCH}-{OS})\nengine   {cid}\n         {reference}; built by {compiler}\n\
         tracker  {tracker}\nstore    {store}"
    );
    output.say(&text, || {
        json!({
            "event": "version", "version": version, "target": format!("{ARCH}-{OS}"), "engine": cid,
            "reference": engine.is_reference(), "compiler": compiler, "tracker": tracker, "store": store,
        })
    });
    Ok(Exit::Success)
}
