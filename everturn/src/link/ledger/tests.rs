//! Two ledgers that write to one another, and what each finds when one of them forgets.

use super::*;

const A: &str = "a:1";
const B: &str = "b:1";

/// A's ledger, which knows B, and B's, which knows A.
fn pair() -> (Ledger, Ledger) {
    let (mut a, mut b) = (Ledger::default(), Ledger::default());
    a.add(B, Some(PeerKey::from_bytes([2; 32]))).unwrap();
    b.add(A, Some(PeerKey::from_bytes([1; 32]))).unwrap();
    (a, b)
}

fn send(from: &mut Ledger, to: &str, texts: &[&str]) {
    texts.iter().for_each(|text| from.append(to, text.as_bytes().to_vec()).unwrap());
}

/// Lets `to` take all that `from` owes it; acknowledges it or not.
fn carry(from: &mut Ledger, to: &mut Ledger, (here, there): (&str, &str), acknowledged: bool) -> Vec<String> {
    let taken = to.peer(here).unwrap().positions.received.number;
    let owed: Vec<Vec<u8>> =
        from.owed(there, taken, u64::MAX).unwrap().iter().map(|waiting| waiting.bytes.clone()).collect();
    for bytes in &owed {
        to.take(here, bytes).unwrap();
    }
    if acknowledged {
        let position = to.peer(here).unwrap().positions.received;
        assert_eq!(from.acknowledged(there, position), Ok(Compared::Same));
    }
    owed.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

/// A dials B; what each finds.
fn meet(a: &mut Ledger, b: &mut Ledger) -> (Compared, Compared) {
    let (of_a, of_b) = (a.peer(B).unwrap().positions, b.peer(A).unwrap().positions);
    (a.compare(B, Dialer::Us, of_b).unwrap(), b.compare(A, Dialer::Them, of_a).unwrap())
}

fn reason(compared: &Compared) -> &str {
    match compared {
        Compared::Stopped(why) => why,
        other => panic!("{other:?} is no stop"),
    }
}

#[test]
fn what_was_acknowledged_waits_no_more() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one", "two"]);
    assert_eq!(carry(&mut a, &mut b, (A, B), false), ["one", "two"]);
    assert_eq!(a.owed(B, 0, u64::MAX).unwrap().len(), 2, "nobody has said that they arrived");
    send(&mut a, B, &["three"]);
    assert_eq!(carry(&mut a, &mut b, (A, B), true), ["three"]);
    assert!(a.owed(B, 0, u64::MAX).unwrap().is_empty());
    assert_eq!(a.peer(B).unwrap().waiting_bytes, 0);
    assert_eq!(a.waiting.iter().count(), 0);
    assert_eq!(meet(&mut a, &mut b), (Compared::Same, Compared::Same));
}

#[test]
fn what_is_given_out_is_bounded_but_never_nothing() {
    let (mut a, _) = pair();
    send(&mut a, B, &["0123456789", "0123456789", "0123456789"]);
    assert_eq!(a.owed(B, 0, 1).unwrap().len(), 1);
    assert_eq!(a.owed(B, 0, 40).unwrap().len(), 2);
    assert_eq!(a.owed(B, 2, 40).unwrap().len(), 1);
    assert!(a.owed(B, 3, 40).unwrap().is_empty());
}

#[test]
fn what_waits_is_bounded_and_answers_have_their_own_place() {
    let (mut a, _) = pair();
    a.append(B, vec![0; WAITING_BYTES_MAX as usize]).unwrap();
    assert_eq!(a.check_room(B, Place::Counted), Err(Refused::Full(B.into())));
    assert_eq!(a.check_room(B, Place::Kept), Ok(()));
    let position = a.peer(B).unwrap().positions.sent;
    a.acknowledged(B, position).unwrap();
    assert_eq!(a.check_room(B, Place::Counted), Ok(()));
}

#[test]
fn a_sender_from_an_old_backup_is_found_on_both_sides() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one"]);
    carry(&mut a, &mut b, (A, B), true);
    let mut backup = a.clone();
    send(&mut a, B, &["two"]);
    carry(&mut a, &mut b, (A, B), true);
    let (at_a, at_b) = meet(&mut backup, &mut b);
    assert!(reason(&at_a).contains("this data folder knows of 1"), "{at_a:?}");
    assert!(reason(&at_b).contains("it knows of having sent 1"), "{at_b:?}");
    assert!(b.owed(A, 0, 1).unwrap().is_empty());
}

#[test]
fn a_receiver_from_an_old_backup_is_found_on_both_sides() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one"]);
    carry(&mut a, &mut b, (A, B), true);
    let mut backup = b.clone();
    send(&mut a, B, &["two"]);
    carry(&mut a, &mut b, (A, B), true);
    let (at_a, at_b) = meet(&mut a, &mut backup);
    assert!(reason(&at_a).contains("now knows of 1"), "{at_a:?}");
    assert!(reason(&at_b).contains("this data folder has 1"), "{at_b:?}");
}

#[test]
fn a_copy_that_sends_something_else_is_found_on_both_sides() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one"]);
    carry(&mut a, &mut b, (A, B), true);
    let mut copy = a.clone();
    send(&mut a, B, &["two"]);
    carry(&mut a, &mut b, (A, B), true);
    send(&mut copy, B, &["another two"]);
    let (at_copy, at_b) = meet(&mut copy, &mut b);
    assert!(reason(&at_copy).contains("two copies"), "{at_copy:?}");
    assert!(reason(&at_b).contains("two copies"), "{at_b:?}");
}

#[test]
fn a_copy_that_went_further_is_found_by_itself_and_by_its_acknowledgement() {
    let (mut a, mut b) = pair();
    let mut copy = a.clone();
    send(&mut a, B, &["one"]);
    carry(&mut a, &mut b, (A, B), true);
    send(&mut copy, B, &["another one", "two"]);
    let (at_copy, _) = meet(&mut copy.clone(), &mut b.clone());
    assert!(reason(&at_copy).contains("two copies"), "{at_copy:?}");
    // The same, met while both are connected: what was left as known is acknowledged with another chain.
    let position = b.peer(A).unwrap().positions.received;
    let compared = copy.acknowledged(B, position).unwrap();
    assert!(reason(&compared).contains("two copies"), "{compared:?}");
}

#[test]
fn loss_in_the_other_direction_is_found_too() {
    let (mut a, mut b) = pair();
    let mut backup = b.clone();
    send(&mut b, A, &["one"]);
    carry(&mut b, &mut a, (B, A), true);
    // A dials, for messages of its own; B has forgotten what it sent.
    send(&mut a, B, &["hello"]);
    let (at_a, at_b) = meet(&mut a, &mut backup);
    assert_eq!(at_a, Compared::Same, "A cannot tell: B may just not have said all");
    assert!(reason(&at_b).contains("knows of 0"), "{at_b:?}");
}

#[test]
fn acknowledgements_on_their_way_are_no_difference() {
    let (mut a, mut b) = pair();
    send(&mut b, A, &["one", "two"]);
    let said = a.peer(B).unwrap().positions;
    // While A dials, messages of B arrive at A and are acknowledged.
    carry(&mut b, &mut a, (B, A), true);
    assert_eq!(b.compare(A, Dialer::Them, said), Ok(Compared::Same));
    assert_eq!(meet(&mut a, &mut b), (Compared::Same, Compared::Same));
}

#[test]
fn a_link_goes_on_when_both_sides_have_resolved_it() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one"]);
    carry(&mut a, &mut b, (A, B), true);
    let mut a2 = Ledger::default();
    a2.add(B, Some(PeerKey::from_bytes([2; 32]))).unwrap();
    send(&mut a2, B, &["new"]);
    meet(&mut a2, &mut b);
    a2.resolve(B, Resolution::SendAgain).unwrap();
    let (at_a, at_b) = meet(&mut a2, &mut b);
    assert!(matches!(at_a, Compared::NotYet(_)), "{at_a:?}");
    assert!(matches!(at_b, Compared::Stopped(_)), "{at_b:?}");
    b.resolve(A, Resolution::SendAgain).unwrap();
    assert_eq!(meet(&mut a2, &mut b), (Compared::Same, Compared::Same));
    assert_eq!(carry(&mut a2, &mut b, (A, B), true), ["new"]);
}

#[test]
fn only_a_link_that_has_stopped_is_resolved_and_once_a_stop() {
    let (mut a, mut b) = pair();
    send(&mut a, B, &["one"]);
    let before = a.peer(B).unwrap().clone();
    assert_eq!(a.resolve(B, Resolution::Drop), Err(Refused::NotStopped(B.into())));
    assert_eq!(a.peer(B), Ok(&before));
    a.stop(B, "a test").unwrap();
    a.resolve(B, Resolution::Drop).unwrap();
    assert_eq!(a.resolve(B, Resolution::Drop), Err(Refused::NotStopped(B.into())));
    // The other side hears of it when they meet, and not before.
    assert_eq!(b.resolve(A, Resolution::Drop), Err(Refused::NotStopped(A.into())));
    let (at_a, at_b) = meet(&mut a, &mut b);
    assert!(matches!(at_a, Compared::NotYet(_)), "{at_a:?}");
    assert!(reason(&at_b).contains("begun the link anew"), "{at_b:?}");
    b.resolve(A, Resolution::Drop).unwrap();
    assert_eq!(meet(&mut a, &mut b), (Compared::Same, Compared::Same));
}

#[test]
fn both_sides_may_resolve_before_they_meet_and_whoever_was_further_is_caught_up_with() {
    for ahead in 0..4 {
        let (mut a, mut b) = pair();
        for _ in 0..ahead {
            a.stop(B, "of old").unwrap();
            a.resolve(B, Resolution::Drop).unwrap();
        }
        if ahead > 0 {
            // B hears of it while it still goes on, or has stopped.
            meet(&mut a, &mut b);
        }
        a.stop(B, "a test").unwrap();
        b.stop(A, "a test").unwrap();
        b.resolve(A, Resolution::SendAgain).unwrap();
        a.resolve(B, Resolution::SendAgain).unwrap();
        if meet(&mut a, &mut b) != (Compared::Same, Compared::Same) {
            // A had begun anew once more than B had heard of: one side is behind and has stopped.
            b.resolve(A, Resolution::SendAgain).unwrap();
        }
        assert_eq!(meet(&mut a, &mut b), (Compared::Same, Compared::Same), "{ahead}");
    }
}

#[test]
fn what_belongs_to_an_epoch_before_is_over() {
    let (mut a, _) = pair();
    assert_eq!(a.is_over(B, 0), Ok(None));
    a.stop(B, "a test").unwrap();
    assert_eq!(a.is_over(B, 0), Ok(None), "it is the same until a person resolves it");
    a.resolve(B, Resolution::SendAgain).unwrap();
    assert!(a.is_over(B, 0).unwrap().is_some_and(|why| why.contains("begun anew here")));
    assert_eq!(a.is_over(B, 1), Ok(None));
}

#[test]
fn messages_can_be_dropped_when_a_link_is_resolved() {
    let (mut a, _) = pair();
    send(&mut a, B, &["one", "two"]);
    a.stop(B, "a test").unwrap();
    let mut again = a.clone();
    a.resolve(B, Resolution::Drop).unwrap();
    assert!(a.owed(B, 0, u64::MAX).unwrap().is_empty());
    again.resolve(B, Resolution::SendAgain).unwrap();
    assert_eq!(again.owed(B, 0, u64::MAX).unwrap().len(), 2);
    assert_eq!(again.peer(B).unwrap().waiting_bytes, 6);
}

#[test]
fn a_key_has_one_address_and_an_address_one_key() {
    let (mut a, _) = pair();
    let [one, two] = [[1; 32], [2; 32]].map(PeerKey::from_bytes);
    assert_eq!(a.add(B, Some(two)), Ok(()));
    assert_eq!(a.add(B, Some(one)), Err(Refused::OtherKey { address: B.into(), key: two }));
    assert_eq!(a.add("c:1", Some(two)), Err(Refused::KeyInUse(B.into())));
    for wrong in ["", "host", "host:", ":1", "host:99999", &format!("{}:1", "h".repeat(300))] {
        assert_eq!(a.add(wrong, Some(one)), Err(Refused::Address(wrong.into())));
    }
}

#[test]
fn strangers_are_let_in_where_the_house_is_open() {
    let mut a = Ledger::default();
    let key = PeerKey::from_bytes([7; 32]);
    assert_eq!(a.admit(key, "c:1"), None);
    assert_eq!(a.check_room("c:1", Place::Counted), Err(Refused::Unknown("c:1".into())));
    a.set_open(true);
    assert_eq!(a.check_room("c:1", Place::Counted), Ok(()));
    assert_eq!(a.admit(key, "c:1"), Some("c:1".into()), "the key of an address that was sent to");
    assert_eq!(a.admit(key, "elsewhere:1"), Some("c:1".into()));
    assert_eq!(a.admit(PeerKey::from_bytes([8; 32]), "c:1"), None, "the address has its key");
}

#[test]
fn it_goes_back_as_a_container_does() {
    let (mut a, _) = pair();
    send(&mut a, B, &["one"]);
    a.peers.savepoint();
    a.waiting.savepoint();
    let before = a.clone();
    send(&mut a, B, &["two"]);
    let position = a.peer(B).unwrap().positions.sent;
    a.acknowledged(B, position).unwrap();
    a.peers.rollback();
    a.waiting.rollback();
    assert_eq!(a.peer(B), before.peer(B));
    assert_eq!(a.owed(B, 0, u64::MAX).unwrap(), before.owed(B, 0, u64::MAX).unwrap());
}
