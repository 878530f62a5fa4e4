//! `everturn replay`: what came from outside, run again and compared.

use std::sync::Arc;

use everturn::replay::{Comparison, Difference, ReplayError, Replayed, replay};
use everturn::{Cid, DiskStore, Hypervisor, Settings};
use serde_json::json;

use crate::arguments::{Globals, ReplayArguments};
use crate::engine;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Local, is_empty, with_types};

pub(crate) async fn run(
    globals: &Globals,
    arguments: &ReplayArguments,
    output: &Arc<Output>,
) -> Result<Exit, Failure> {
    if is_empty(&globals.data)? {
        return Err(Failure::NoSession(globals.data.clone()));
    }
    let Some(from) = &arguments.from else { return forget(globals, output).await };
    let engine = engine::start();
    let store = DiskStore::open(&globals.data)?;
    let engine = engine::started(engine).await?;
    let settings = Settings { threads: arguments.threads, ..Settings::default() };
    let builder = with_types(Hypervisor::builder().settings(settings).like(&store)?, &engine);
    let mut told = |comparison: &Comparison| say_comparison(comparison, output);
    let replayed = replay(&store, from, builder, &mut told).await.map_err(failure)?;
    say(&replayed, output);
    Ok(if replayed.difference.is_none() { Exit::Success } else { Exit::Exception })
}

async fn forget(globals: &Globals, output: &Arc<Output>) -> Result<Exit, Failure> {
    let local = Local::open(globals, Folder::MustExist, output).await?;
    let forgotten = async {
        let kept = local.hypervisor.kept_inputs().await?;
        local.hypervisor.forget_inputs().await?;
        Ok(kept.map_or(0, |kept| kept.bytes))
    };
    let forgotten = forgotten.await;
    let bytes = local.close(forgotten).await?;
    let text = format!("{bytes} bytes of inputs are forgotten, and no more are kept");
    output.say(&text, || json!({"event": "kept", "from": null, "forgotten_bytes": bytes}));
    Ok(Exit::Success)
}

fn root(root: Option<Cid>) -> String {
    root.map_or("none".to_owned(), |root| root.to_string())
}

fn say_comparison(comparison: &Comparison, output: &Output) {
    let Comparison { container, ticks, turns, expected, found } = comparison;
    let is = match comparison.is_equal() {
        true => format!("equal    {}", root(*found)),
        false => format!("differs  {} is {}", root(*expected), root(*found)),
    };
    output.say(&format!("turn {turns}  ticks {ticks}  {container}  {is}"), || {
        json!({
            "event": "compared", "container": container.to_string(), "ticks": ticks.0, "turns": turns,
            "equal": comparison.is_equal(), "expected": expected.map(|cid| cid.to_string()),
            "found": found.map(|cid| cid.to_string()),
        })
    });
}

fn say(replayed: &Replayed, output: &Output) {
    let Replayed { turns, rows, compared, difference } = replayed;
    let text = match difference {
        None => format!("{rows} inputs, {turns} turns: all of {compared} state roots are equal"),
        Some(Difference { container, ticks, what }) => {
            let whose = container.map_or(String::new(), |container| format!("container {container}: "));
            format!("this is another life from ticks {ticks} on: {whose}{what}")
        }
    };
    output.say(&text, || {
        json!({
            "event": "replayed", "equal": difference.is_none(), "turns": turns, "rows": rows, "compared": compared,
            "difference": difference.as_ref().map(|Difference { container, ticks, what }| json!({
                "container": container.map(|container| container.to_string()), "ticks": ticks.0, "what": what,
            })),
        })
    });
}

fn failure(error: ReplayError) -> Failure {
    let text = error.to_string();
    let advice = match error {
        ReplayError::NothingKept => {
            "begin with `everturn run FILE --keep-inputs`; serve and shell have this option too".to_owned()
        }
        ReplayError::OtherBeginning { kept, .. } => {
            format!("`everturn replay --from {kept}` runs what is kept")
        }
        ReplayError::Failed(error) => return error.into(),
        _ => return Failure::Told { text, advice: None, exit: Exit::Host },
    };
    Failure::Told { text, advice: Some(advice), exit: Exit::Usage }
}
