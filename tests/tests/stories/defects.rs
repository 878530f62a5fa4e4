//! The known defects of primea's hypervisor, each as a story that would have shown it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Exception, Hypervisor, HypervisorError, Ipld, Message, Refusal, Settings, SideBySide, Ticks, Turn,
    TurnsBy,
};
use serde::{Deserialize, Serialize};

use super::stage::{Delays, Stage, Step, Way, create, in_every_way, say, tell};

#[test]
fn a_leaf_that_wakes_an_idle_parent_does_not_become_its_parent() {
    let said = in_every_way(|stage| {
        stage.play([create("middle", [create("leaf", [])])]);
        let parents = |stage: &Stage| -> Vec<_> {
            stage.inspect().into_iter().map(|container| (container.id, container.parent)).collect()
        };
        let before = parents(stage);
        // The middle one is idle when its leaf wakes it.
        let wake = [Step::Burn(50), tell("^", [tell("^", [say("woken from below")])])];
        stage.play([tell("middle", [tell("leaf", wake)])]);
        assert_eq!(parents(stage), before);
        stage.play([tell("middle", [tell("^", [say("still my parent")])])]);
    });
    let texts: Vec<_> = said.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(texts, ["root < middle: woken from below", "root < middle: still my parent"]);
}

#[test]
fn a_root_waits_for_grandchildren_that_work() {
    in_every_way(|stage| {
        stage.play([create("child", [create("grandchild", [])])]);
        let work = [Step::Sleep(10), Step::Burn(1_000), Step::Keep(vec!["work".into()], "done".into())];
        drop(stage.tell([tell("child", [tell("grandchild", work)])]));
        let root = stage.hypervisor().create_state_root(&stage.root, Ticks::MAX);
        let (root, _) = stage.block_on(async { tokio::join!(root, stage.hypervisor().run_until_idle()) });
        let mut node = stage.node(&root.unwrap());
        for name in ["child", "grandchild"] {
            let Ipld::Map(ports) = &node["ports"] else { panic!("a map") };
            let Ipld::Map(port) = &ports[name] else { panic!("a map") };
            let Ipld::Link(link) = port["link"] else { panic!("a link") };
            node = stage.node(&link);
        }
        assert_eq!(node["kept"], Ipld::Map([("work".to_owned(), Ipld::String("done".into()))].into()));
    });
}

#[test]
fn order_does_not_depend_on_the_wall_clock_when_the_receiver_is_behind() {
    let said = in_every_way(|stage| {
        stage.play([create("early", []), create("late", [])]);
        assert!(stage.inspect_root().ticks < Ticks(10), "the receiver's ticks are low");
        stage.play([
            tell("late", [Step::Burn(50), tell("^", [say("at 50")])]),
            tell("early", [Step::Sleep(20), Step::Burn(10), tell("^", [say("at 10")])]),
        ]);
    });
    let texts: Vec<_> = said.iter().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(texts, ["at 10", "at 50"]);
}

#[test]
fn unawaited_sends_to_a_cold_child_arrive_in_order() {
    let expected: Vec<String> = (0..50).map(|n| format!("number {n}")).collect();
    let said = in_every_way(|stage| {
        stage.play([create("cold", [])]);
        stage.restart();
        stage.play((0..50).map(|n| tell("cold", [say(&format!("number {n}"))])).collect::<Vec<_>>());
    });
    let texts: Vec<_> = said.iter().map(|line| line.split_once(": ").unwrap().1).collect();
    assert_eq!(texts, expected);
}

#[test]
fn messages_sent_while_the_receiver_goes_idle_are_not_lost() {
    const MESSAGES: usize = 300;
    for threads in [1, 4] {
        let mut way = Way::new(threads, Delays::Random);
        way.settings.turns_by = TurnsBy::Background;
        let stage = Stage::open(way);
        let mut receipts = Vec::new();
        for n in 0..MESSAGES {
            receipts.push(stage.tell([say(&n.to_string())]));
            if n % 3 == 0 {
                // Whoever waits here is answered at the moment at which the hypervisor has nothing left to do.
                stage.block_on(stage.hypervisor().wait(&stage.root, Ticks::MAX)).unwrap();
            }
        }
        for receipt in receipts {
            stage.block_on(receipt).unwrap().outcome.unwrap();
        }
        let heard: Vec<_> =
            stage.trace().iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(heard, (0..MESSAGES).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn any_number_of_waits_of_one_host_are_answered() {
    in_every_way(|stage| {
        drop(stage.tell([create("other", []), tell("other", [Step::PingPong(60)])]));
        let thresholds = (0..100).map(Ticks).chain([Ticks::MAX; 20]);
        let waits: Vec<_> = thresholds.map(|ticks| stage.hypervisor().wait(&stage.root, ticks)).collect();
        let answers = stage.block_on(async {
            let (run, answers) = tokio::join!(stage.hypervisor().run_until_idle(), all(waits));
            run.unwrap();
            answers
        });
        assert_eq!(answers.len(), 120);
        assert!(answers.is_sorted(), "a later threshold is met later: {answers:?}");
        assert!(answers[119] >= Ticks(60));
    });
}

/// Polls all until all have answered.
async fn all<T>(futures: Vec<impl Future<Output = Result<T, HypervisorError>>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in waiting.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(done) = future.as_mut().poll(context) {
                *answer = Some(done.unwrap());
            }
        }
        if waiting.iter().all(|(_, answer)| answer.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, answer)| answer).collect()
}

#[test]
fn a_threshold_that_is_met_exactly_is_met() {
    for threads in [1, 4] {
        let stage = Stage::open(Way::new(threads, Delays::None));
        drop(stage.tell([create("other", []), tell("other", [Step::PingPong(100)])]));
        let next = stage.run_turns(6).next.expect("the game goes on");
        // Nothing waits below the next delivery tick: that threshold is met, and the one after it is not.
        let mut not_yet = Box::pin(stage.hypervisor().wait(&stage.root, next));
        let mut context = Context::from_waker(Waker::noop());
        assert!(not_yet.as_mut().poll(&mut context).is_pending(), "it is asked for first");
        stage.block_on(stage.hypervisor().wait(&stage.root, Ticks(next.0 - 1))).unwrap();
        assert!(not_yet.as_mut().poll(&mut context).is_pending(), "a message of tick {next} is queued");
        stage.run_turns(1);
        stage.block_on(not_yet).unwrap();
    }
}

#[test]
fn waiting_for_an_idle_container_gives_its_ticks() {
    in_every_way(|stage| {
        stage.play([Step::Burn(77)]);
        let ticks = stage.inspect_root().ticks;
        assert!(ticks >= Ticks(77));
        for threshold in [Ticks::ZERO, Ticks(77), ticks, Ticks::MAX] {
            let waited = stage.block_on(stage.hypervisor().wait(&stage.root, threshold)).unwrap();
            assert_eq!(waited, ticks, "threshold {threshold}");
        }
    });
}

#[test]
fn a_throw_undoes_binds_creations_sends_and_state_of_any_depth() {
    let path = |depth: usize| (0..depth).map(|n| format!("level {n}")).collect::<Vec<_>>();
    let said = in_every_way(|stage| {
        stage.play([create("child", []), Step::Keep(path(40), "before".into())]);
        stage.play([Step::Channel("one".into(), "two".into())]);
        let (before, ids, lines) = (stage.state_root(), stage.ids(), stage.trace());
        let receipt = stage.play([
            Step::Keep(path(40), "after".into()),
            Step::Keep(path(60), "deeper".into()),
            create("never", [create("below", []), say("never made")]),
            tell("child", [say("never sent")]),
            tell("never", [say("never sent")]),
            Step::Delete("child".into()),
            Step::Delete("one".into()),
            Step::Channel("three".into(), "four".into()),
            Step::Burn(30),
            Step::Throw("all for nothing".into()),
        ]);
        assert_eq!(receipt.outcome.unwrap_err().text, "all for nothing");
        assert_eq!(receipt.burnt, Ticks(30), "what was burnt stays burnt");
        assert_eq!((stage.state_root(), stage.ids(), stage.trace()), (before, ids, lines));
        stage.play([tell("child", [say("here I am")])]);
    });
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("here I am"), "{said:?}");
}

#[test]
fn ports_are_made_after_a_state_root_as_before() {
    let with_roots = in_every_way(|stage| {
        for name in ["a", "b", "c"] {
            stage.play([create(name, [tell("^", [say("made")])])]);
            let root = stage.state_root();
            let Ipld::Map(ports) = &stage.node(&root)["ports"] else { panic!("a map") };
            assert!(ports.contains_key(name));
        }
    });
    let without = in_every_way(|stage| {
        for name in ["a", "b", "c"] {
            stage.play([create(name, [tell("^", [say("made")])])]);
        }
    });
    assert_eq!(with_roots, without);
}

#[test]
fn queued_messages_survive_a_restart() {
    let play = |restarts: bool| {
        in_every_way(|stage| {
            let game: Vec<Step> = ["a", "b", "c"]
                .into_iter()
                .flat_map(|name| [create(name, []), tell(name, [tell("^", [say("up")]), say("down")])])
                .collect();
            drop(stage.tell(game));
            loop {
                let ran = stage.run_turns(1);
                if ran.next.is_none() {
                    break;
                }
                if restarts {
                    let queued: usize = stage.inspect().iter().map(|container| container.queued).sum();
                    assert!(queued > 0);
                    stage.restart();
                    assert_eq!(
                        stage.inspect().iter().map(|container| container.queued).sum::<usize>(),
                        queued
                    );
                }
            }
        })
    };
    let said = play(true);
    assert_eq!(said.len(), 6);
    assert_eq!(said, play(false));
}

#[test]
fn two_roots_do_not_collide() {
    in_every_way(|stage| {
        let (one, two) = (stage.add_root("one", "one"), stage.add_root("two", "two"));
        for root in [one, two] {
            drop(stage.send(&root, &[create("child", [])]));
        }
        stage.run();
        assert_eq!(stage.ids().len(), 5, "three roots, two children");
        drop(stage.send(&one, &[tell("child", [Step::Keep(vec!["of".into()], "one".into())])]));
        stage.run();
        let root = |id| stage.block_on(stage.hypervisor().create_state_root(id, Ticks::MAX)).unwrap();
        assert_ne!(root(&one), root(&two));
    });
}

#[test]
fn a_port_that_is_loaded_twice_is_one_container() {
    let said = in_every_way(|stage| {
        stage.play([create("child", [])]);
        stage.restart();
        let keep = |what: &str| tell("child", [Step::Keep(vec![what.into()], what.into()), say(what)]);
        stage.play([keep("first"), keep("second")]);
        stage.play([keep("third")]);
        assert_eq!(stage.ids().len(), 2);
        let Ipld::Map(ports) = stage.node(&stage.state_root())["ports"].clone() else { panic!("a map") };
        let Ipld::Map(port) = &ports["child"] else { panic!("a map") };
        let Ipld::Link(link) = port["link"] else { panic!("a link") };
        let Ipld::Map(kept) = stage.node(&link)["kept"].clone() else { panic!("a map") };
        assert_eq!(kept.len(), 3, "all three were said to the same");
        let again = || stage.hypervisor().get_or_create_instance("actor", "", Ipld::Null);
        let both = stage.block_on(async { tokio::join!(again(), again()) });
        assert_eq!((both.0.unwrap(), both.1.unwrap()), (stage.root, stage.root));
    });
    assert_eq!(said.len(), 3);
}

/// Notices when it is entered a second time before it was left, and how many of its kind are at work at once.
#[derive(Clone, Serialize, Deserialize)]
struct Busy {
    name: u64,
}

const BUSY: usize = 4;
static AT_WORK: [AtomicBool; BUSY] = [const { AtomicBool::new(false) }; BUSY];
static TURNS: AtomicU32 = AtomicU32::new(0);
static TWICE: AtomicU32 = AtomicU32::new(0);

impl Native for Busy {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Busy, Exception> {
        let Ipld::Integer(name) = init else { panic!("a number") };
        if name == 0 {
            for child in 1..BUSY as u64 {
                let made = turn.create("busy", &everturn::node::encode(&child).unwrap());
                made.and_then(|made| turn.bind(&child.to_string(), made))?;
            }
        }
        Ok(Busy { name: name as u64 })
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let at_work = &AT_WORK[self.name as usize];
        TWICE.fetch_add(u32::from(at_work.swap(true, Ordering::SeqCst)), Ordering::SeqCst);
        TURNS.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(std::time::Duration::from_micros(300));
        let done = self.tell_everybody(turn, message.bytes);
        at_work.store(false, Ordering::SeqCst);
        Ok(done?)
    }
}

impl Busy {
    /// Sends on to all children, or up to the parent, as often as the message says.
    fn tell_everybody(&self, turn: &mut Turn, bytes: &[u8]) -> Result<(), Refusal> {
        let rounds: u64 = everturn::node::decode(bytes).unwrap();
        if rounds == 0 {
            return Ok(());
        }
        let less = everturn::node::encode(&(rounds - 1)).unwrap();
        if self.name > 0 {
            let parent = turn.parent()?;
            return turn.send(parent, &less, &[], 0);
        }
        for name in turn.names() {
            let child = turn.get(&name)?;
            turn.send(child, &less, &[], 0)?;
        }
        Ok(())
    }
}

#[test]
fn one_container_never_runs_two_turns_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for lookahead in [1, 1_000] {
        let settings = Settings {
            lookahead: Ticks(lookahead),
            threads: std::num::NonZeroUsize::new(4),
            side_by_side: SideBySide::Always,
            ..Settings::default()
        };
        runtime.block_on(async {
            let hypervisor = Hypervisor::builder().settings(settings).build().await.unwrap();
            hypervisor.register_container("busy", NativeType::<Busy>::new());
            let root = hypervisor.create_instance("busy", "", 0u64).await.unwrap();
            for _ in 0..5 {
                let data = everturn::node::encode(&8u64).unwrap();
                drop(hypervisor.send(&root, Message { data, ..Message::default() }));
            }
            hypervisor.wait(&root, Ticks::MAX).await.unwrap();
            hypervisor.stop().await.unwrap();
        });
    }
    assert_eq!(TWICE.load(Ordering::SeqCst), 0);
    assert!(TURNS.load(Ordering::SeqCst) > 500, "{TURNS:?} turns show nothing");
}
