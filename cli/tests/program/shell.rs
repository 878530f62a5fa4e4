//! Talking to the shell through a pipe.

use crate::world::World;

const CREATE_COUNTER: &str = "function() { var counter = 0; return function() { return counter++; }; }";

#[test]
fn a_counter_goes_on_after_a_kill() {
    let world = World::new();
    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Initialized session");
    shell.type_line(&format!("var create_counter = {CREATE_COUNTER};"));
    shell.type_line("var a = create_counter();");
    assert_eq!(shell.ask("a();"), "0");
    assert_eq!(shell.ask("a();"), "1");
    assert_eq!(shell.ask("var b = create_counter(); b();"), "0");
    shell.kill();

    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Restored session");
    assert_eq!(shell.ask("create_counter"), CREATE_COUNTER);
    assert_eq!(shell.ask("a();"), "2");
    let ran = shell.end();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

#[test]
fn what_was_answered_is_there_after_each_of_many_kills() {
    let world = World::new();
    world.lines(&["var n = 0;"]);
    for expected in 0..5 {
        let mut shell = world.shell();
        assert_eq!(shell.answer(), "Restored session");
        assert_eq!(shell.ask("n++"), expected.to_string());
        shell.kill();
    }
}

#[test]
fn a_statement_may_have_several_lines() {
    let ran = World::new().lines(&[
        "function double(x) {",
        "",
        "  return 2 * x;",
        "}",
        "double(",
        "21)",
        "{ a: 1,",
        "  b: 2 }",
        "`one",
        "two`",
    ]);
    assert_eq!(ran.answers(), ["Initialized session", "42", "{ a: 1, b: 2 }", "'one\\ntwo'"], "{ran:?}");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn a_statement_that_never_ends_is_an_error_at_the_end() {
    let ran = World::new().lines(&["1 + 1", "function f() {"]);
    assert_eq!(ran.answers(), ["Initialized session", "2"]);
    assert!(ran.err.starts_with("Uncaught SyntaxError: "), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn a_line_that_throws_leaves_nothing_behind() {
    let world = World::new();
    let ran = world.lines(&["var x = 1;", "x = 2; null.y", "x", "typeof neverDeclared"]);
    assert_eq!(ran.answers(), ["Initialized session", "1", "'undefined'"], "{ran:?}");
    assert!(ran.err.starts_with("Uncaught TypeError: "), "{ran:?}");
    assert!(ran.err.contains("<shell>"), "no stack: {ran:?}");
    assert_eq!(ran.code, Some(1));
    assert_eq!(world.lines(&["x"]).answers(), ["Restored session", "1"]);
}

#[test]
fn what_is_printed_comes_before_the_result() {
    let ran = World::new().lines(&[
        "print('one', 2); console.log('three'); 4",
        "console.error('wrong'); console.warn('odd')",
        "undefined",
        "null",
    ]);
    assert_eq!(ran.answers(), ["Initialized session", "one 2", "three", "4", "null"], "{ran:?}");
    assert_eq!(ran.err, "wrong\nodd\n");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn what_a_line_wakes_runs_before_the_next_line() {
    let ran = World::new().lines(&[
        "ports.bind('child', ports.create('js', 'function message(msg) { console.log(\"child: \" + msg.data) }'))",
        "send(ports.get('child'), 'hello'); 1",
        "2",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.answers().last_chunk(), Some(&["child: hello", "1", "2"]), "{ran:?}");
}

#[test]
fn what_a_line_awaits_is_printed_when_it_comes() {
    let child = "let n = 0; export default { message(msg) { if (msg.data < 0) throw new RangeError('less'); return n += msg.data; } }";
    let world = World::new();
    let ran = world.lines(&[
        &format!("ports.bind('child', ports.create('js', {child:?})); 0"),
        "await call(ports.get('child'), 5)",
        "let n = await call(ports.get('child'), 6)",
        "n",
        "await call(ports.get('child'), -1)",
        "await new Promise(() => {})",
        "var come; await new Promise((yes) => { come = yes; })",
    ]);
    assert_eq!(ran.answers(), ["Initialized session", "0", "5", "11"], "{ran:?}");
    assert!(ran.err.contains("Uncaught RangeError: less"), "{ran:?}");
    let ran = world.lines(&["come({ late: true }); 1"]);
    assert_eq!(ran.answers(), ["Restored session", "{ late: true }", "1"], "{ran:?}");
}

#[test]
fn timers_come_also_after_a_kill() {
    let world = World::new();
    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Initialized session");
    // It may ring before the line's result is shown.
    let mut said = [shell.ask("setTimeout(() => print('rang'), 20);"), shell.answer()];
    said.sort();
    assert_eq!(said, ["1", "rang"]);
    shell.ask("var rung = 0, rings = (ms) => setTimeout(() => { rung++; }, ms); rings(1) + rings(600_000);");
    shell.kill();
    // Whether it came before the kill or after it, it came once.
    let mut shell = world.shell();
    assert_eq!(shell.answer(), "Restored session");
    while shell.ask("rung") == "0" {}
    assert_eq!(shell.ask("rung"), "1");
    let ran = shell.end();
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{ran:?}");
}

#[test]
fn declarations_may_be_repeated_and_promises_awaited() {
    let ran = World::new().lines(&[
        "let a = 1; const b = 2; class C {}",
        "let a = 10; const b = 20; class C { c() { return 30; } }",
        "await Promise.resolve(a + b + new C().c())",
    ]);
    assert_eq!(ran.answers(), ["Initialized session", "60"], "{ran:?}");
}

#[test]
fn the_shells_own_commands_answer() {
    let world = World::new();
    let ran = world.lines(&["var x = 1;", ".root", ".heap", ".ports", ".help"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.answers()[1], world.root());
    assert!(ran.answers()[2].starts_with("heap  "), "{ran:?}");
    assert!(ran.err.contains("no ports"), "{ran:?}");
    for command in
        [".exit", ".heap", ".help", ".load FILE", ".models", ".ports", ".root", ".schema M", ".undo"]
    {
        assert!(ran.out.contains(command), "{command} is missing: {ran:?}");
    }
}

#[test]
fn ports_are_listed_with_where_they_lead() {
    let ran = World::new().lines(&["ports.bind('child', ports.create('js', ''))", ".ports"]);
    let last = ran.answers().last().copied().unwrap_or_default().to_owned();
    assert!(last.starts_with("child  bafy"), "{ran:?}");
}

#[test]
fn an_unknown_command_is_refused_and_javascript_with_a_point_is_not() {
    let ran = World::new().lines(&[".rot", ".5 + 1"]);
    assert_eq!(ran.answers(), ["Initialized session", "1.5"]);
    assert!(ran.err.contains(".rot") && ran.err.contains(".help"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn exit_leaves_at_once() {
    let ran = World::new().lines(&["1", ".exit", "2"]);
    assert_eq!(ran.answers(), ["Initialized session", "1"]);
    assert_eq!(ran.code, Some(0));
}

#[test]
fn a_file_is_loaded_into_the_living_heap() {
    let world = World::new();
    world.file("step.js", "function step() { return ++n * 10; }");
    world.file("broken.js", "n = 100; throw new Error('half way');");
    let ran =
        world.lines(&["var n = 1;", ".load step.js", "step()", "load('broken.js')", "n", ".load absent.js"]);
    assert_eq!(ran.answers(), ["Initialized session", "20", "2"], "{ran:?}");
    assert!(ran.err.contains("half way") && ran.err.contains("absent.js"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn input_that_is_no_text_is_a_host_error_with_its_line() {
    use std::io::Write as _;
    use std::process::Stdio;
    let world = World::new();
    let mut child = world
        .command(&["shell"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"1\n\xff\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 2"));
}
