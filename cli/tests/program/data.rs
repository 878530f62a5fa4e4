//! Models at the shell, and instances that leave as text and come back.

use crate::world::World;

const MODELS: &str = "var { model, string, integer, one, many } = await import('everturn:data'); \
    var Team = model('Team', { name: string().unique(), staff: many('Person', { inverse: 'team' }) }); \
    var Person = model('Person', { name: string().required(), age: integer().index(), team: one('Team', { inverse: 'staff' }) });";

fn with_instances() -> World {
    let world = World::new();
    let made = "var t = Team.create({ name: 'a, b' }); Person.create({ name: 'ann', age: 3, team: t }); Person.create({ name: 'bob' }); 0";
    let ran = world.lines(&[MODELS, made]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    world
}

#[test]
fn models_and_what_queries_find_are_shown() {
    let world = with_instances();
    let ran = world.lines(&[".models", ".schema Team", "Person.where('age', 3)", ".schema Nobody"]);
    for shown in [
        "model Team, version 1, 1 instance\nmodel Person, version 1, 2 instances\n",
        "  staff  many(Person)  inverse Person.team\n",
        "id  name  age  team\n1   ann   3    Team 1\n",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {ran:?}");
    }
    assert!(ran.err.contains("Nobody is no model: there are Team, Person"), "{ran:?}");
    let ran = World::new().lines(&[".models"]);
    assert_eq!(ran.answers(), ["Initialized session", "'no models'"]);
}

#[test]
fn instances_leave_as_text_and_come_back() {
    let world = with_instances();
    let lines = world.everturn(&["data", "export"]);
    assert_eq!(lines.code, Some(0), "{lines:?}");
    assert_eq!(lines.out.lines().count(), 3, "{lines:?}");
    world.file("all.jsonl", lines.out.replace("a, b", "c"));
    let csv = world.everturn(&["data", "export", "--format", "csv", "--model", "Person"]);
    assert_eq!(csv.out, "id,name,age,team\n1,ann,3,1\n2,bob,,\n");
    world.file("people.csv", &csv.out);

    let ran = world.everturn(&["data", "import", "all.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "3 instances\n"), "{ran:?}");
    let ran = world.everturn(&["data", "import", "--format", "csv", "--model", "Person", "people.csv"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = world.everturn(&["eval", "[Team.count(), Person.count(), Team.get(2).staff.size]"]);
    assert_eq!(ran.out, "[ 2, 6, 1 ]\n", "{ran:?}");
}

#[test]
fn a_file_with_one_wrong_row_changes_nothing() {
    let world = with_instances();
    world.file("wrong.csv", "name,age\ncid,5\ndan,old\n");
    let ran = world.everturn(&["data", "import", "--format", "csv", "--model", "Person", "wrong.csv"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("row 2: Person.age is to be an integer"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", "Person.count()"]).out, "2\n");
    let ran = world.everturn(&["data", "import", "--format", "csv", "wrong.csv"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = world.everturn(&["data", "import", "absent.jsonl"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
}

/// Many rows take many turns. Killed among them, the container goes on when it is started again: all of them are there, or none.
#[test]
fn many_rows_are_taken_in_or_none() {
    let world = with_instances();
    let rows: String = (0..3000).map(|i| format!("p{i},{i},1\n")).collect();
    world.file("many.csv", format!("\u{feff}name,age,team\r\n{rows}"));
    world.file("wrong.csv", format!("name,age,team\n{rows}last,old,1\n"));
    let import = ["data", "import", "--format", "csv", "--model", "Person"];
    let ran = world.everturn(&[&import[..], &["wrong.csv"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("row 3001: Person.age is to be an integer"), "{ran:?}");
    let count =
        "[Person.count(), Team.get(1).staff.size, Person.where('age', '>=', 0).count(), Person.progress]";
    assert_eq!(world.everturn(&["eval", count]).out, "[ 2, 1, 1, null ]\n");

    for milliseconds in [40, 150, 400, 700, 1000, 1400] {
        let child = world.command(&[&import[..], &["many.csv"]].concat()).spawn();
        let mut child = child.unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let ran = world.lines(&[
            "await Person.ready; 0",
            count,
            "Person.where('name', '!=', 'ann').delete(); Person.create({ name: 'bob' }); 0",
        ]);
        let counts = ran.answers()[2];
        assert!(
            ["[ 2, 1, 1, null ]", "[ 3002, 3001, 3001, null ]"].contains(&counts),
            "{milliseconds}: {ran:?}"
        );
    }
    let ran = world.everturn(&[&import[..], &["many.csv"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "3000 instances\n"), "{ran:?}");
    assert_eq!(world.everturn(&["eval", count]).out, "[ 3002, 3001, 3001, null ]\n");
}

#[test]
fn a_container_without_models_says_so() {
    let world = World::new();
    world.lines(&["1"]);
    let ran = world.everturn(&["data", "export"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("no program in this container has imported everturn:data"), "{ran:?}");
}
