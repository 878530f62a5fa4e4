//! Random bytes: given by the host, part of the turn that draws them, and the same whenever that is run again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use everturn::entropy::{Drawing, ENTROPY_CALL_BYTES_MAX, Entropy, EntropyError, SystemEntropy};
use everturn::native::{Incoming, Native, NativeType};
use everturn::{
    Exception, ExceptionKind, Hypervisor, HypervisorError, Ipld, MemoryStore, Message, Refusal, Settings,
    Turn, node,
};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::requests::{request, said};
use crate::world::{Ways, World};

/// Bytes that are a function of the drawing: what a host gives whose machines have to agree.
pub(crate) struct Derived;

impl Entropy for Derived {
    fn draw(&self, drawing: &Drawing, into: &mut [u8]) -> Result<(), EntropyError> {
        let mut state = drawing.ticks.0 ^ (u64::from(drawing.number) << 32);
        state =
            drawing.container.as_bytes().iter().fold(state, |state, byte| mixed(state ^ u64::from(*byte)));
        for byte in into {
            state = mixed(state);
            *byte = (state >> 56) as u8;
        }
        Ok(())
    }
}

/// One step of splitmix64.
fn mixed(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// A source that is shared.
pub(crate) struct Of(pub(crate) Arc<dyn Entropy>);

impl Entropy for Of {
    fn draw(&self, drawing: &Drawing, into: &mut [u8]) -> Result<(), EntropyError> {
        self.0.draw(drawing, into)
    }
}

/// Gives 1, then 2, and so on, each byte of a call the same; so a call that is answered twice shows.
#[derive(Default)]
struct Counted {
    calls: AtomicU32,
    drawings: Mutex<Vec<Drawing>>,
}

impl Entropy for Counted {
    fn draw(&self, drawing: &Drawing, into: &mut [u8]) -> Result<(), EntropyError> {
        self.drawings.lock().unwrap().push(*drawing);
        into.fill(self.calls.fetch_add(1, Ordering::Relaxed) as u8 + 1);
        Ok(())
    }
}

struct Refusing;

impl Entropy for Refusing {
    fn draw(&self, _: &Drawing, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError::Refused)
    }
}

struct Failing;

impl Entropy for Failing {
    fn draw(&self, _: &Drawing, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError::Failed("the well is dry".into()))
    }
}

const DRAW: &str = "var drawn = []; function draw(n = 1) { drawn.push(crypto.getRandomValues(new Uint8Array(n))[0]); return drawn.join(); }";

#[test]
fn a_program_draws_and_what_it_drew_survives_exceptions_restarts_and_unloading() {
    for ways in Ways::to_survive() {
        let source = Arc::new(Counted::default());
        let mut world = World::with(DRAW, Ways { entropy: Some(source.clone()), ..ways });
        assert_eq!(world.eval("draw()"), "'1'");
        assert_eq!(world.eval("draw() + '|' + draw()"), "'1,2|1,2,3'");
        // Drawn in a turn that is discarded: gone for ever, and those before are as they were.
        world.line("draw(); throw new Error('no')").unwrap_err();
        assert_eq!(world.eval("draw()"), "'1,2,3,5'");
        world.restart();
        assert_eq!(world.eval("draw()"), "'1,2,3,5,6'");
        let drawings = source.drawings.lock().unwrap().clone();
        assert_eq!(drawings.iter().map(|drawing| drawing.number).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 0]);
        let unique: std::collections::BTreeSet<_> = drawings.iter().collect();
        assert_eq!(unique.len(), drawings.len(), "{drawings:?}");
    }
}

#[test]
fn turns_that_are_run_again_after_an_exception_get_what_they_got_the_first_time() {
    let settings = Settings { savepoint_turns: Some(100), ..Settings::default() };
    let source = Arc::new(Counted::default());
    let ways = Ways { settings, entropy: Some(source.clone()), ..Ways::default() };
    let program = "let drawn = []; export default { message(msg) {
        drawn.push(crypto.getRandomValues(new Uint16Array(3))[2]);
        if (msg.data === 'throw') throw drawn;
        return drawn.join(); } };";
    let mut world = World::with(program, ways);
    for _ in 0..3 {
        world.send(Ipld::Null);
    }
    assert!(world.send("throw").outcome.is_err());
    let said = world.send(Ipld::Null).outcome;
    assert_eq!(said, Ok(Some(Ipld::String("257,514,771,1285".into()))));
    assert_eq!(source.calls.load(Ordering::Relaxed), 5);
}

#[test]
fn a_question_may_draw_and_leaves_no_mark() {
    let program = "let kept = 0; export default {
        query(request) { kept = crypto.getRandomValues(new Uint8Array(1))[0]; return new Response(`${kept}`); },
        fetch(request) { return new Response(`kept ${kept}`); } };";
    let source = Arc::new(Counted::default());
    let world = World::with(program, Ways { entropy: Some(source), ..Ways::default() });
    for expected in ["1", "2"] {
        let answer = world.hypervisor().query(&world.root, request("GET", "/", ""));
        assert_eq!(said(world.block_on(answer).unwrap()).1, expected);
    }
    let answer = world.hypervisor().request(&world.root, request("GET", "/", ""));
    assert_eq!(said(world.block_on(answer).unwrap()).1, "kept 0");
}

#[test]
fn without_a_source_it_is_a_refusal_that_says_what_the_host_has_to_give() {
    let mut world = World::with(DRAW, Ways { entropy: Some(Arc::new(Refusing)), ..Ways::default() });
    let refused = world.line("draw()").unwrap_err();
    assert!(refused.text.contains("has to give a source of them (Builder::entropy)"), "{refused}");
    assert_eq!(world.eval("try { crypto.randomUUID() } catch (error) { error.name }"), "'Refusal'");
}

#[test]
fn a_source_that_fails_stops_the_hypervisor() {
    let world = World::with(DRAW, Ways { entropy: Some(Arc::new(Failing)), ..Ways::default() });
    let failed = world.block_on(world.hypervisor().evaluate(&world.root, "line", "draw()")).unwrap_err();
    assert!(matches!(&failed, HypervisorError::Stopped(why) if why.contains("the well is dry")), "{failed}");
}

#[test]
fn errors_are_those_of_web_cryptography() {
    let mut world = World::new(DRAW);
    for (wrong, name) in [
        ("crypto.getRandomValues(new Float32Array(1))", "TypeMismatchError"),
        ("crypto.getRandomValues(new Float64Array(1))", "TypeMismatchError"),
        ("crypto.getRandomValues(new DataView(new ArrayBuffer(1)))", "TypeMismatchError"),
        ("crypto.getRandomValues(new Uint8Array(65537))", "QuotaExceededError"),
        ("crypto.getRandomValues(new BigUint64Array(8193))", "QuotaExceededError"),
        ("crypto.getRandomValues([1, 2])", "TypeError"),
        ("crypto.getRandomValues(new ArrayBuffer(8))", "TypeError"),
        ("crypto.getRandomValues()", "TypeError"),
        ("new Crypto()", "TypeError"),
        ("crypto.randomUUID.call({})", "TypeError"),
    ] {
        let told = world.eval(&format!("try {{ {wrong}; 'nothing' }} catch (error) {{ error.name }}"));
        assert_eq!(told, format!("'{name}'"), "{wrong}");
    }
    for whole in ["Uint8Array(65536)", "BigInt64Array(8192)", "Uint8ClampedArray(0)", "Int32Array(3)"] {
        let same = format!("var array = new {whole}; crypto.getRandomValues(array) === array");
        assert_eq!(world.eval(&same), "true", "{whole}");
    }
    // Only what the view shows is filled.
    let view = "var all = new Uint8Array(64); crypto.getRandomValues(all.subarray(16, 48)); \
                [all.subarray(0, 16), all.subarray(16, 48), all.subarray(48)].map((part) => part.some((n) => n !== 0)).join()";
    assert_eq!(world.eval(view), "'false,true,false'");
    // 16 calls of the most are what a turn may have.
    let greedy = "for (var i = 0; i < 17; i++) crypto.getRandomValues(new Uint8Array(65536))";
    let refused = world.line(greedy).unwrap_err();
    assert!(refused.text.contains("a turn 1 MiB"), "{refused}");
}

#[test]
fn a_uuid_has_the_form_of_version_4() {
    let mut world = World::new("");
    let uuids = "var uuids = new Set(); for (var i = 0; i < 200; i++) uuids.add(crypto.randomUUID()); ";
    let form = "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/";
    assert_eq!(world.eval(&format!("{uuids} [...uuids].every((uuid) => {form}.test(uuid))")), "true");
    assert_eq!(world.eval("uuids.size"), "200");
}

/// Answers with what it draws.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Drawer;

impl Native for Drawer {
    fn create(_: &mut Turn, _: Ipld) -> Result<Self, Exception> {
        Ok(Drawer)
    }

    fn run(&mut self, turn: &mut Turn, message: &Incoming<'_>) -> Result<(), Exception> {
        let Ipld::Integer(bytes) = message.data() else { return Ok(()) };
        let mut drawn = vec![0; bytes as usize];
        let answer = match turn.entropy(&mut drawn) {
            Ok(()) => Ipld::Bytes(drawn),
            Err(refusal) => Ipld::Integer(refusal.code().into()),
        };
        turn.answer(&node::encode(&answer).unwrap())
            .map_err(|refusal| Exception::new(ExceptionKind::Throw, refusal.to_string()))
    }
}

#[test]
fn a_native_container_draws_what_the_host_gives_and_nothing_without() {
    for gives in [true, false] {
        let mut host = Host::on(Arc::new(MemoryStore::new()));
        let builder = Hypervisor::builder().register_container("drawer", NativeType::<Drawer>::rebuilding());
        host.start(if gives { builder.entropy(SystemEntropy) } else { builder }).unwrap();
        let made = host.hypervisor().create_instance("drawer", "main", Ipld::Null);
        let root = host.block_on(made).unwrap();
        let draw = |bytes: usize| {
            let message = Message { data: node::encode(&bytes).unwrap(), ..Message::default() };
            host.block_on(host.hypervisor().send(&root, message)).unwrap().outcome.unwrap().unwrap()
        };
        let most = draw(ENTROPY_CALL_BYTES_MAX);
        if gives {
            let Ipld::Bytes(bytes) = &most else { panic!("{most:?}") };
            let different: std::collections::BTreeSet<_> = bytes.iter().collect();
            assert!(different.len() > 200, "{} different bytes", different.len());
            assert_ne!(draw(32), draw(32));
            let many = Refusal::TooMuchEntropy.code();
            assert_eq!(draw(ENTROPY_CALL_BYTES_MAX + 1), Ipld::Integer(many.into()));
        } else {
            assert_eq!(most, Ipld::Integer(Refusal::NoEntropy.code().into()));
        }
    }
}
