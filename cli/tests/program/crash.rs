//! The real program, killed at any instant of its life: no acknowledged turn is missing, no turn is half there.
//!
//! Each life opens the folder, counts on, and is killed: before it has opened, while it answers, in the middle of a
//! commit, or while it ends. The counter and its log are changed in one turn, so a turn that is half there shows.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::world::World;

/// Kills in the ordinary run; EVERTURN_KILLS asks for more.
const KILLS: u32 = 220;
/// Lines that one life may be given: some are killed in the middle of work, some while they end or have nothing to do.
const LINES: [u32; 4] = [60, 12, 3, 0];
/// What each line asks: one step further, in two places.
const STEP: &str =
    "n++; log.push(n); if (log.length > 50) log.shift(); log.at(-1) === n ? n : 'torn at ' + n";

/// Where a life ended.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    kills: u32,
    before_the_greeting: u32,
    while_answering: u32,
    at_the_end: u32,
    acknowledged: u64,
    unacknowledged_but_kept: u64,
}

/// SplitMix64: instants spread the same way in every run.
fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One life: what it acknowledged last, if anything, and whether it was still alive when killed.
struct Life {
    greeted: bool,
    acknowledged: Vec<u64>,
    killed: bool,
}

/// Starts a shell, gives it all lines at once, and kills it after a time.
fn live(world: &World, lines: u32, lifetime: Duration) -> Life {
    let mut command = world.command(&["shell"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("everturn starts");
    let mut typed = child.stdin.take().expect("its input is a pipe");
    let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
    // What is typed fits the pipe, so this does not wait for the program.
    let text: String = (0..lines).map(|_| format!("{STEP}\n")).collect();
    let _ = typed.write_all(text.as_bytes());
    drop(typed);
    let reader = thread::spawn(move || answers.lines().map_while(Result::ok).collect::<Vec<String>>());
    thread::sleep(lifetime);
    let killed = child.kill().is_ok();
    let status = child.wait().expect("it ends");
    let heard = reader.join().expect("the reader ends");
    let acknowledged =
        heard.iter().skip(1).map(|answer| answer.parse().unwrap_or_else(|_| panic!("{answer}")));
    Life {
        greeted: !heard.is_empty(),
        acknowledged: acknowledged.collect(),
        killed: killed && status.code().is_none(),
    }
}

#[test]
fn no_kill_loses_an_acknowledged_turn() {
    let kills = std::env::var("EVERTURN_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let world = World::new();
    let begun = world.lines(&["var n = 0, log = []; n"]);
    assert_eq!(begun.code, Some(0), "{begun:?}");
    let (mut counts, mut known, mut seed) = (Counts::default(), 0, 0);
    let mut whole_life = Duration::from_millis(60);
    while counts.kills < kills {
        seed += 1;
        let lines = LINES[(seed % 4) as usize];
        let lifetime = whole_life.mul_f64((spread(seed) % 1_000) as f64 / 1_000.0);
        let life = live(&world, lines, lifetime);
        if let Some(first) = life.acknowledged.first() {
            check_steps(&life.acknowledged);
            assert!(*first > known, "{first} after {known}: a turn is missing");
        }
        let acknowledged = life.acknowledged.last().copied().unwrap_or(known);
        if !life.killed {
            // It ended by itself: lives are shorter than thought, or this one was given all its time.
            whole_life = whole_life.mul_f64(0.9).max(Duration::from_millis(10));
        } else {
            counts.kills += 1;
            counts.before_the_greeting += u32::from(!life.greeted);
            counts.while_answering += u32::from(life.greeted && (life.acknowledged.len() as u32) < lines);
            counts.at_the_end += u32::from(life.greeted && life.acknowledged.len() as u32 == lines);
            whole_life = whole_life.mul_f64(1.02).min(Duration::from_secs(2));
        }
        counts.acknowledged += life.acknowledged.len() as u64;
        // The state must be that of the last acknowledged turn or of one that was typed after it.
        let ran = world.lines(&["n + ' ' + (log.length === 0 || log.at(-1) === n)"]);
        let answer = ran.out.lines().last().unwrap_or_default().trim_matches('\'').to_owned();
        let (state, whole) = answer.split_once(' ').unwrap_or_else(|| panic!("{ran:?}"));
        let state: u64 = state.parse().unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(whole, "true", "a turn is half there");
        assert!(state >= acknowledged, "{state} is in the folder, {acknowledged} was acknowledged");
        assert!(state <= known + u64::from(lines), "{state} was never asked for");
        counts.unacknowledged_but_kept += state - acknowledged;
        known = state;
    }
    println!("{counts:?}");
    assert!(
        counts.before_the_greeting > 0 && counts.while_answering > 0 && counts.at_the_end > 0,
        "{counts:?}"
    );
}

fn check_steps(acknowledged: &[u64]) {
    for pair in acknowledged.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "the counter jumped");
    }
}
