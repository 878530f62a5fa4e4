//! The picture in docs/order.md, drawn from a real run. EVERTURN_DRAW=1 writes it anew.

use everturn::Ticks;

use super::stage::{Delays, Stage, Step, Way, create, say, tell};
use crate::tidy::repository::Repository;

const PAGE: &str = "docs/order.md";
const BEGIN: &str = "<!-- drawn by tests/tests/stories/picture.rs -->\n```text\n";
const LOOKAHEAD: u64 = 8;

/// One turn: who, when from and to, the line that it began with.
struct Drawn {
    who: String,
    from: u64,
    to: u64,
    text: String,
}

/// Has a container say when it begins and when it ends.
fn work(what: &str, ticks: u64, mut then: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![say(what), Step::Burn(ticks)];
    steps.append(&mut then);
    steps.push(say("end"));
    steps
}

fn run(threads: usize, delays: Delays) -> Vec<Drawn> {
    let mut way = Way::new(threads, delays);
    way.settings.lookahead = Ticks(LOOKAHEAD);
    let stage = Stage::open(way);
    let back = |what: &str, ticks| vec![tell("^", work(what, ticks, vec![]))];
    stage.play(work(
        "begin",
        2,
        vec![
            create("a", work("made", 3, vec![])),
            create("b", work("made", 5, vec![])),
            tell("a", work("long work", 14, back("done by a", 3))),
            tell("b", work("short work", 4, back("done by b", 3))),
            tell("b", work("more", 4, back("more by b", 3))),
        ],
    ));
    let mut drawn: Vec<Drawn> = Vec::new();
    for line in stage.trace() {
        let (head, text) = line.split_once(": ").unwrap();
        let parts: Vec<&str> = head.split(' ').collect();
        let tick = parts[0][1..].parse().unwrap();
        match text {
            "end" => drawn.iter_mut().rev().find(|turn| turn.who == parts[1]).unwrap().to = tick,
            _ => drawn.push(Drawn {
                who: parts[1].into(),
                from: tick,
                to: tick,
                text: format!("{} takes {text:?} from {}", parts[1], parts[3]),
            }),
        }
    }
    drawn
}

/// A row for each container, a character for each tick, a bar where a window begins; then every turn in its order.
fn draw(turns: &[Drawn]) -> String {
    let end = turns.iter().map(|turn| turn.to).max().unwrap().next_multiple_of(LOOKAHEAD);
    let bars = |tick: u64| if tick.is_multiple_of(LOOKAHEAD) { '|' } else { ' ' };
    let mut picture = String::from("ticks ");
    for tick in (0..=end).step_by(LOOKAHEAD as usize) {
        picture.push_str(&format!("{tick:<width$}", width = LOOKAHEAD as usize));
    }
    picture.truncate(picture.trim_end().len());
    picture.push('\n');
    for who in ["root", "a", "b"] {
        let mut row: Vec<char> = (0..=end).map(bars).collect();
        for turn in turns.iter().filter(|turn| turn.who == who) {
            for tick in turn.from..turn.to {
                row[tick as usize] = if tick == turn.from { '>' } else { '=' };
            }
        }
        picture.push_str(&format!("{who:<6}{}\n", row.iter().collect::<String>()));
    }
    picture.push('\n');
    for turn in turns {
        picture.push_str(&format!("{:>3} to {:<3} {}\n", turn.from, turn.to, turn.text));
    }
    picture
}

#[test]
fn the_page_about_order_shows_a_real_run() {
    let picture = draw(&run(1, Delays::None));
    assert_eq!(picture, draw(&run(4, Delays::Random)), "it is the same on four threads, with real delays");
    let page = Repository::open().read(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the picture");
    let (shown, after) = rest.split_once("```").expect("the picture ends");
    if std::env::var_os("EVERTURN_DRAW").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
        std::fs::write(path, format!("{before}{BEGIN}{picture}```{after}")).unwrap();
        return;
    }
    assert_eq!(shown, picture, "EVERTURN_DRAW=1 draws it anew");
}
