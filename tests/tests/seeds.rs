//! What the two seeds could do, under their own names where they have kept them. docs/seed-map.md lists them.

use everturn::native::{Incoming, Native, NativeType};
use everturn::{Exception, Hypervisor, HypervisorError, Ipld, Message, Ticks, Turn};
use serde::{Deserialize, Serialize};

use crate::world::{Ways, World};

/// Burns what each message says, and answers whether its child's port is good while bound and after its deletion.
#[derive(Clone, Serialize, Deserialize)]
struct Burner;

impl Native for Burner {
    fn create(turn: &mut Turn, init: Ipld) -> Result<Self, Exception> {
        if init == Ipld::Bool(true) {
            let child = turn.create("burner", &everturn::node::encode(&Ipld::Null).unwrap()).unwrap();
            turn.bind("child", child).unwrap();
        }
        Ok(Burner)
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        if let Ipld::Integer(ticks) = message.data() {
            turn.increment_ticks(Ticks(ticks as u64));
            return Ok(());
        }
        let child = turn.get("child").unwrap();
        let before = turn.is_valid_port(child);
        turn.delete("child").unwrap();
        let answer = Ipld::List(vec![Ipld::Bool(before), Ipld::Bool(turn.is_valid_port(child))]);
        turn.answer(&everturn::node::encode(&answer).unwrap()).unwrap();
        Ok(())
    }
}

fn message(data: Ipld) -> Message {
    Message { data: everturn::node::encode(&data).unwrap(), ..Message::default() }
}

fn with_burners<T>(story: impl AsyncFnOnce(Hypervisor) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let hypervisor = Hypervisor::builder().build().await.unwrap();
        hypervisor.register_container("burner", NativeType::<Burner>::new());
        story(hypervisor).await
    })
}

#[test]
fn get_or_create_gives_the_living_one() {
    with_burners(async |hypervisor| {
        let first = hypervisor.get_or_create_instance("burner", "b", Ipld::Null).await.unwrap();
        assert_eq!(hypervisor.get_or_create_instance("burner", "b", Ipld::Null).await.unwrap(), first);
        let again = hypervisor.create_instance("burner", "b", Ipld::Null).await.unwrap_err();
        assert!(matches!(again, HypervisorError::NameInUse { .. }), "{again}");
        assert_ne!(hypervisor.create_instance("burner", "c", Ipld::Null).await.unwrap(), first);
        let unknown = hypervisor.create_instance("unheard of", "d", Ipld::Null).await.unwrap_err();
        assert!(matches!(unknown, HypervisorError::UnknownType(_)), "{unknown}");
    });
}

#[test]
fn a_container_adds_to_its_ticks_and_a_wait_sees_them() {
    with_burners(async |hypervisor| {
        let id = hypervisor.create_instance("burner", "b", Ipld::Null).await.unwrap();
        let before = hypervisor.wait(&id, Ticks::MAX).await.unwrap();
        let receipt = hypervisor.send(&id, message(Ipld::Integer(1_000))).await.unwrap();
        assert_eq!(receipt.burnt, Ticks(1_000));
        let after = hypervisor.wait(&id, Ticks::MAX).await.unwrap();
        assert!(after >= before.after(Ticks(1_000)), "{before} and then {after}");
        assert_eq!(hypervisor.wait(&id, Ticks::ZERO).await.unwrap(), after);
    });
}

#[test]
fn a_port_is_valid_until_it_is_deleted() {
    with_burners(async |hypervisor| {
        let id = hypervisor.create_instance("burner", "", Ipld::Bool(true)).await.unwrap();
        let receipt = hypervisor.send(&id, message(Ipld::Null)).await.unwrap();
        assert_eq!(receipt.outcome, Ok(Some(Ipld::List(vec![Ipld::Bool(true), Ipld::Bool(false)]))));
        assert_eq!(hypervisor.inspect().await.unwrap().len(), 1);
    });
}

#[test]
fn receive_and_send_print_and_eval_work_as_they_did() {
    let program = "var told = []; ports.bind('echo', ports.create('js',
        'function receive(sender, value) { print(\"echo of\", value); send(self.parent, value); }'));
        function receive(sender, value) { told.push(value); }";
    let mut world = World::with(program, Ways { restart_always: true, ..Ways::default() });
    world.eval("send(ports.get('echo'), 'hello')");
    world.idle();
    assert_eq!(world.lines(), ["echo of hello"]);
    assert_eq!(world.eval("told.join()"), "'hello'");
    assert_eq!(world.eval("eval('1 + 1')"), "2");
    world.eval("eval('var made = 7')");
    assert_eq!(world.eval("made"), "7");
}
