//! `everturn inspect`: the tree of containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use everturn::{ContainerId, Inspection};
use serde_json::{Value, json};

use crate::arguments::Globals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::session::{Folder, Session, kept_event, kept_text};

pub(crate) async fn run(globals: &Globals, output: &Arc<Output>) -> Result<Exit, Failure> {
    let session = Session::open(globals, Folder::MustExist, output).await?;
    let looked = async { Ok((session.inspect().await?, session.kept().await?)) }.await;
    let (containers, kept) = session.close(looked).await?;
    for (depth, container, name) in tree(&containers) {
        output.say(&line(depth, container, name), || event(container, name));
    }
    if let Some(kept) = kept {
        output.say(&kept_text(&kept), || kept_event(&kept));
    }
    Ok(Exit::Success)
}

/// Every container, each right below its owner, with its depth and the name that its owner gave it.
fn tree(containers: &[Inspection]) -> Vec<(usize, &Inspection, Option<&str>)> {
    let mut children: BTreeMap<Option<ContainerId>, Vec<&Inspection>> = BTreeMap::new();
    let mut names: BTreeMap<(ContainerId, ContainerId), &str> = BTreeMap::new();
    for container in containers {
        children.entry(container.parent).or_default().push(container);
        names.extend(container.ports.iter().map(|(name, id)| ((container.id, *id), name.as_str())));
    }
    let below = |parent: Option<ContainerId>, depth: usize| {
        let mut below: Vec<_> = children.get(&parent).into_iter().flatten().copied().collect();
        let name = |child: &Inspection| parent.and_then(|parent| names.get(&(parent, child.id)).copied());
        below.sort_by_key(|child| (name(child), child.id));
        below.into_iter().map(move |child| (depth, child, name(child))).rev().collect::<Vec<_>>()
    };
    let (mut tree, mut open) = (Vec::new(), below(None, 0));
    while let Some((depth, container, name)) = open.pop() {
        tree.push((depth, container, name));
        open.extend(below(Some(container.id), depth + 1));
    }
    tree
}

fn line(depth: usize, container: &Inspection, name: Option<&str>) -> String {
    let heap = container.heap_bytes.map_or("heap unknown".to_owned(), |bytes| format!("heap {bytes} bytes"));
    let name = name.map_or(String::new(), |name| format!("{name}: "));
    format!(
        "{}{name}{}  {}  ticks {}  queued {}  {heap}",
        "  ".repeat(depth),
        container.id,
        container.container_type,
        container.ticks,
        container.queued,
    )
}

fn event(container: &Inspection, name: Option<&str>) -> Value {
    let ports: BTreeMap<&str, String> =
        container.ports.iter().map(|(name, id)| (name.as_str(), id.to_string())).collect();
    json!({
        "event": "container", "id": container.id.to_string(), "type": container.container_type,
        "parent": container.parent.map(|parent| parent.to_string()), "name": name, "ticks": container.ticks.0,
        "queued": container.queued, "heap_bytes": container.heap_bytes, "ports": ports,
    })
}
