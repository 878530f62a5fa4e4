//! Lines that containers write: each is told once it is durable, and again only to who does not know that it was.

use std::sync::{Arc, Mutex};

use everturn::{Hypervisor, MemoryStore, Store};
use everturn_dag::{Batch, Space};

use crate::host::{Host, assert_whole, copy};
use crate::world::{Ways, js};

const PROGRAM: &str = "export default {
    message(msg) { for (const text of msg.data.split(' ')) print(text); },
    query(request) { print('looked'); return new Response('seen'); },
};";

type Told = Arc<Mutex<Vec<(Option<u64>, String)>>>;

fn told(told: &Told) -> Vec<(Option<u64>, String)> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// What a hypervisor tells that goes on where another was killed, and shows whatever `known` is the number of.
fn after_a_kill(store: MemoryStore, known: u64) -> Vec<(Option<u64>, String)> {
    let (lines, tell) = (Told::default(), Told::default());
    let into = tell.clone();
    let mut host = Host::on(Arc::new(store));
    let builder = Hypervisor::builder().register_container("js", js(&Ways::default())).lines_told(known);
    host.start(builder.on_line(move |line| into.lock().unwrap().push((line.number, line.text.clone()))))
        .unwrap();
    host.send(&everturn::ContainerId::root("main"), "later");
    lines.lock().unwrap().extend(told(&tell));
    host.stop();
    told(&lines)
}

fn numbered(lines: &[(u64, &str)]) -> Vec<(Option<u64>, String)> {
    lines.iter().map(|(number, text)| (Some(*number), (*text).to_owned())).collect()
}

#[test]
fn a_kill_before_a_line_was_told_leaves_it_to_the_next_run() {
    let (lines, copied) = (Told::default(), Arc::new(Mutex::new(None)));
    let store = Arc::new(MemoryStore::new());
    let mut host = Host::on(store.clone());
    let builder = Hypervisor::builder().register_container("js", js(&Ways::default()));
    let (into, at_the_third) = (lines.clone(), copied.clone());
    let builder = builder.on_line(move |line| {
        if line.text == "third" {
            *at_the_third.lock().unwrap() = Some(copy(&*store));
        }
        into.lock().unwrap().push((line.number, line.text.clone()));
    });
    host.start(builder).unwrap();
    let main = host.block_on(host.hypervisor().create_instance("js", "main", PROGRAM)).unwrap();
    host.send(&main, "first");
    host.send(&main, "second third fourth");
    let all = numbered(&[(1, "first"), (2, "second"), (3, "third"), (4, "fourth")]);
    assert_eq!(told(&lines), all);
    let killed = || copy(copied.lock().unwrap().as_ref().expect("the third was told"));
    assert_whole(&killed());
    // The first is forgotten: a later batch found that it was told.
    let left = [(2, "second"), (3, "third"), (4, "fourth"), (5, "later")];
    assert_eq!(after_a_kill(killed(), 0), numbered(&left));
    assert_eq!(after_a_kill(killed(), 2), numbered(&left[1..]));
    assert_eq!(after_a_kill(killed(), 4), numbered(&left[3..]));
    assert_eq!(after_a_kill(killed(), 77), numbered(&left), "no line has had that number");
    host.stop();
}

#[test]
fn a_hypervisor_that_stops_leaves_no_line_and_numbers_go_on() {
    let store = Arc::new(MemoryStore::new());
    let mut host = Host::on(store.clone());
    let lines = Told::default();
    let into = lines.clone();
    let builder = Hypervisor::builder().register_container("js", js(&Ways::default()));
    host.start(builder.on_line(move |line| into.lock().unwrap().push((line.number, line.text.clone()))))
        .unwrap();
    let main = host.block_on(host.hypervisor().create_instance("js", "main", PROGRAM)).unwrap();
    host.send(&main, "first");
    let asked = host.hypervisor().query(&main, crate::requests::request("GET", "http://host/", ""));
    host.block_on(asked).unwrap();
    assert_eq!(told(&lines), [(Some(1), "first".to_owned()), (None, "looked".to_owned())]);
    host.stop();
    assert_eq!(after_a_kill(copy(&*store), 0), numbered(&[(2, "later")]));
}

#[test]
fn a_row_that_is_no_line_is_an_error_and_a_problem() {
    let store = MemoryStore::new();
    let mut batch = Batch::new();
    batch.put(Space::Meta, b"line:\0\0\0\0\0\0\0\x01".to_vec(), b"\xff".to_vec());
    store.write(batch).unwrap();
    let problems = everturn::check(&store).problems;
    assert!(problems.iter().any(|problem| problem.contains("a line")), "{problems:?}");
    let started = Host::on(Arc::new(store)).start(Hypervisor::builder()).map(drop);
    assert!(started.is_err_and(|error| error.to_string().contains("a line")));
}
