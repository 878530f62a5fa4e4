//! Load from outside, and what waits inside meanwhile.

use everturn::{Settings, Ticks, TurnsBy};

use super::stage::{Delays, Stage, Step, Way, create, say, tell};

fn by_hand() -> Stage {
    let way = Way::new(1, Delays::None);
    let settings = Settings { turns_by: TurnsBy::Host, ..way.settings };
    let stage = Stage::open(Way { settings, ..way });
    stage.play([create("far", [])]);
    stage
}

/// An answer far ahead waits for the root container.
fn ask_who_is_far_ahead(stage: &Stage) {
    let asked = stage.tell([tell("far", [Step::Burn(1_000_000), tell("^", [say("the answer")])])]);
    assert_eq!(stage.run_turns(2).turns, 2);
    stage.block_on(asked).unwrap();
}

#[test]
fn inputs_that_keep_coming_do_not_keep_an_answer_waiting() {
    let stage = by_hand();
    let other = stage.add_root("other", "other");
    ask_who_is_far_ahead(&stage);
    let mut told = Vec::new();
    for n in 0..10 {
        let to = [&stage.root, &other][n % 2];
        // There is always one more input than turns.
        told.push(stage.send(to, &[say(&format!("input {n}"))]));
        if n > 0 {
            stage.run_turns(1);
        }
    }
    stage.run();
    let said: Vec<String> = stage
        .trace()
        .iter()
        .filter_map(|line| line.rsplit_once(": ").map(|(_, text)| text.to_owned()))
        .collect();
    // The first input has the answer's tick, and the parent's port comes first.
    assert_eq!(said[..2], ["input 0", "the answer"], "{said:?}");
    assert_eq!(said.len(), 11, "{said:?}");
    for told in told {
        stage.block_on(told).unwrap();
    }
}

#[test]
fn what_is_held_back_keeps_no_input_waiting() {
    let stage = by_hand();
    ask_who_is_far_ahead(&stage);
    let at = Ticks(500_000);
    stage.block_on(stage.hypervisor().hold_at(at)).unwrap();
    let told = stage.tell([say("input")]);
    assert_eq!(stage.run_turns(1).turns, 1);
    assert!(stage.block_on(told).unwrap().ticks >= at, "the input is stamped with what is held at");
    assert!(!stage.trace().iter().any(|line| line.ends_with("the answer")), "that is beyond what is held at");
    stage.block_on(stage.hypervisor().hold_at(Ticks::MAX)).unwrap();
    stage.run();
    assert!(stage.trace().last().unwrap().ends_with("the answer"), "{:?}", stage.trace());
}
