//! Going back, as a property: a program with turns that throw leaves the same heap, byte for byte, as the same program
//! without those turns, however far apart the savepoints are.

use everturn::{Settings, Unloading};

use crate::dice::Dice;
use crate::world::{Ways, World};

/// Programs in the ordinary run; EVERTURN_PROGRAMS asks for more.
const PROGRAMS: usize = 60;

#[derive(Clone, Debug)]
struct Step {
    line: String,
    throws: bool,
}

/// Something that changes the heap, the ports or both. Refusals are caught and kept.
fn work(dice: &mut Dice) -> String {
    let n = dice.roll(1000);
    let name = ["a", "b", "c"][dice.roll(3) as usize];
    match dice.roll(11) {
        0 => format!("state.list.push({n}, 'x{n}')"),
        1 => format!("state.map.set('k{}', {{ n: {n}, list: [1, 2, {n}] }})", n % 40),
        2 => format!("state.map.delete('k{}')", n % 40),
        3 => format!("state.text += 'piece {n} '; if (state.text.length > 5000) state.text = ''"),
        4 => "state.random.push(Math.random())".into(),
        5 => format!(
            "attempt(() => ports.bind('{name}', ports.create('js', 'var n = {n}; function message() {{}}')))"
        ),
        6 => format!("attempt(() => send(ports.get('{name}'), {{ n: {n} }}))"),
        7 => format!("attempt(() => ports.delete('{name}'))"),
        8 => "state.names.push(ports.names().join())".into(),
        9 => format!("state.big = new Uint8Array({}).fill({})", n * 300, n % 256),
        _ => format!("for (let i = 0; i < {n}; i++) {{ const o = {{}}; o.o = o; }}"),
    }
}

fn failure(dice: &mut Dice) -> &'static str {
    [
        "throw new Error('no')",
        "Promise.reject(new Error('unhandled'))",
        "(function f() { return f() + 1; })()",
        "null.nothing",
        "state.leak = new Uint8Array(3e6).fill(1); throw state",
    ][dice.roll(5) as usize]
}

fn program(seed: u64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let turns = 6 + dice.roll(14);
    let mut steps: Vec<Step> = (0..turns)
        .map(|_| {
            let mut line = String::new();
            for _ in 0..1 + dice.roll(3) {
                line += &work(&mut dice);
                line += "; ";
            }
            let throws = dice.roll(3) == 0;
            if throws {
                line += failure(&mut dice);
            }
            Step { line: line + "; 0", throws }
        })
        .collect();
    if seed.is_multiple_of(2) {
        // A throw after some turns that were done: in the middle of every longer span.
        let middle = steps.len() / 2;
        steps[middle].throws = true;
        steps[middle].line = format!("{}; {}", work(&mut dice), failure(&mut dice));
        steps[middle - 1] = Step { line: "state.list.push('before'); 0".into(), throws: false };
    }
    steps
}

const START: &str = "var state = { list: [], map: new Map(), text: '', random: [], names: [], refusals: [] };
function attempt(what) { try { what(); } catch (e) { state.refusals.push(e.message); } }";

fn run(steps: &[Step], savepoint_turns: u32, counts: &mut Counts) -> String {
    let settings = Settings {
        savepoint_turns: Some(savepoint_turns),
        unloading: Unloading::Never,
        ..Settings::default()
    };
    let mut world = World::with(START, Ways { settings, ..Ways::default() });
    for step in steps {
        let failed = world.line(&step.line).is_err();
        assert_eq!(failed, step.throws, "{}", step.line);
        counts.throws += u32::from(failed);
        world.idle();
    }
    counts.refusals += world.eval("state.refusals.length").parse::<u32>().unwrap_or(0);
    world.state_root().to_string()
}

#[derive(Debug, Default)]
struct Counts {
    programs: u32,
    in_the_middle: u32,
    throws: u32,
    refusals: u32,
}

#[test]
fn a_turn_that_throws_never_was() {
    let programs = std::env::var("EVERTURN_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(PROGRAMS);
    let mut counts = Counts::default();
    for seed in 0..programs as u64 {
        let steps = program(seed);
        let calm: Vec<Step> = steps.iter().filter(|step| !step.throws).cloned().collect();
        let expected = run(&calm, 1_000, &mut Counts::default());
        let savepoint_turns = [1, 2, 7, 1_000][(seed / 2 % 4) as usize];
        counts.programs += 1;
        counts.in_the_middle += u32::from(steps.windows(2).any(|pair| !pair[0].throws && pair[1].throws));
        assert_eq!(run(&steps, savepoint_turns, &mut counts), expected, "seed {seed}, {steps:#?}");
    }
    println!("{counts:?}");
    assert!(2 * counts.in_the_middle >= counts.programs, "{counts:?}");
    assert!(counts.throws > 0 && counts.refusals > 0, "{counts:?}");
}
