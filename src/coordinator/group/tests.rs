//! Groups, step by step.

use super::super::protocol::MemberMetadata;
use super::*;
use crate::coordinator::{CommitValue, GroupValue};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: GroupLimits = GroupLimits { max_size: 3, initial_delay: Duration::ZERO };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn request(assignors: &[&str]) -> JoinRequest {
    let metadata = MemberMetadata { topics: vec!["t".into()], ..MemberMetadata::default() };
    let protocols = assignors.iter().map(|name| (Arc::from(*name), metadata.clone()));
    JoinRequest {
        member_id: None,
        instance_id: None,
        client_id: "c".into(),
        rebalance_timeout: at(300),
        session_timeout: at(45),
        protocols: protocols.collect(),
    }
}

fn by(id: &str, generation: i32) -> Member {
    Member { id: id.into(), instance_id: None, generation: Some(generation) }
}

/// A newcomer.
fn join(group: &mut Group, id: &str, now: u64) -> Result<Arc<str>> {
    group.join("g", request(&["range"]), &LIMITS, at(now), || id.into())
}

/// A known member joins again.
fn rejoin(group: &mut Group, id: &str, now: u64) -> Result<Arc<str>> {
    let request = JoinRequest { member_id: Some(id.into()), ..request(&["range"]) };
    group.join("g", request, &LIMITS, at(now), || "nobody".into())
}

fn join_static(group: &mut Group, instance: &str, id: &str, now: u64) -> Arc<str> {
    let request = JoinRequest { instance_id: Some(instance.into()), ..request(&["range"]) };
    group.join("g", request, &LIMITS, at(now), || id.into()).unwrap()
}

fn standing(group: &mut Group, id: &str) -> Result<Standing> {
    group.standing("g", &by(id, 0))
}

/// The leader gives partition n to the nth member.
fn decide(group: &mut Group, leader: &str) -> bool {
    let Ok(Standing::Leads(lead)) = standing(group, leader) else { return false };
    let to = (0..).zip(&lead.members).map(|(n, (id, ..))| (id.to_string(), vec![("t", n).into()]));
    group.assign(&by(leader, lead.generation), lead.generation, to.collect(), at(0))
}

fn partitions(group: &mut Group, id: &str) -> Vec<i32> {
    match standing(group, id) {
        Ok(Standing::Stable { assignment, .. }) => {
            assignment.iter().map(TopicPartition::partition).collect()
        }
        other => panic!("{id} stands elsewhere: {other:?}"),
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Option<ErrorCode> {
    outcome.unwrap_err().code()
}

/// A group of these members, in generation 1, stable.
fn stable(ids: &[&str]) -> Group {
    let mut group = Group::default();
    let delay = GroupLimits { initial_delay: SECOND, ..LIMITS };
    for id in ids {
        group.join("g", request(&["range"]), &delay, at(0), || (*id).into()).unwrap();
    }
    group.tick(at(1));
    group.tick(at(2));
    assert!(decide(&mut group, ids[0]));
    for id in ids {
        standing(&mut group, id).unwrap();
    }
    assert_eq!((group.phase, group.generation), (Phase::Stable, 1));
    group
}

#[test]
fn the_first_member_leads_and_decides_alone() {
    let mut group = Group::default();
    join(&mut group, "a", 0).unwrap();
    assert_eq!((group.phase, group.generation), (Phase::CompletingRebalance, 1));
    assert!(decide(&mut group, "a"));
    assert_eq!(partitions(&mut group, "a"), [0]);
    assert!(group.take_unstored(77));
    assert!(!group.take_unstored(78), "once");
    assert_eq!(group.value().state_timestamp, Some(77));
}

#[test]
fn a_newcomer_waits_until_everybody_has_joined_again() {
    let mut group = stable(&["a", "b"]);
    join(&mut group, "c", 10).unwrap();
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::MustRejoin);
    assert_eq!(standing(&mut group, "c").unwrap(), Standing::Joining);
    assert!(group.check_commit("g", Some(&by("a", 1))).is_ok(), "the old generation counts");
    rejoin(&mut group, "a", 11).unwrap();
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::Joining);
    rejoin(&mut group, "b", 12).unwrap();
    assert_eq!((group.phase, group.generation), (Phase::CompletingRebalance, 2));
    let commit = group.check_commit("g", Some(&by("b", 2)));
    assert_eq!(code(commit), Some(ErrorCode::RebalanceInProgress));
    let commit = group.check_commit("g", Some(&by("b", 1)));
    assert_eq!(code(commit), Some(ErrorCode::IllegalGeneration));
    assert_eq!(standing(&mut group, "b").unwrap(), Standing::Syncing);
    assert!(decide(&mut group, "a"), "the leader stays");
    assert_eq!(partitions(&mut group, "c"), [2]);
    assert!(group.check_commit("g", Some(&by("b", 2))).is_ok());
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut group = stable(&["a", "b"]);
    join(&mut group, "c", 10).unwrap();
    rejoin(&mut group, "b", 12).unwrap();
    assert_eq!(group.next_due(), Some(at(310)));
    group.tick(at(309));
    assert_eq!(standing(&mut group, "b").unwrap(), Standing::Joining);
    group.tick(at(310));
    assert_eq!(code(standing(&mut group, "a")), Some(ErrorCode::UnknownMemberId));
    assert_eq!(code(rejoin(&mut group, "a", 311)), Some(ErrorCode::UnknownMemberId));
    assert!(decide(&mut group, "b"), "the next in the order in which they came leads");
    assert_eq!(group.generation, 2);
}

#[test]
fn who_does_not_ask_for_its_assignment_in_time_is_out() {
    let mut group = stable(&["a", "b"]);
    rejoin(&mut group, "a", 10).unwrap();
    rejoin(&mut group, "b", 10).unwrap();
    assert!(decide(&mut group, "a"));
    assert_eq!(group.next_due(), Some(at(310)), "b has not asked");
    group.tick(at(310));
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::MustRejoin);
    assert_eq!(code(standing(&mut group, "b")), Some(ErrorCode::UnknownMemberId));
    let mut group = stable(&["a", "b"]);
    assert_eq!(group.next_due(), None, "nobody is waited for once all have asked");
    group.tick(at(10_000));
    assert_eq!(group.phase, Phase::Stable);
}

#[test]
fn a_leaving_member_begins_a_rebalance_and_the_last_one_empties_the_group() {
    let mut group = stable(&["a", "b"]);
    group.take_unstored(0);
    assert!(group.leave("a", at(5)));
    assert!(!group.leave("a", at(5)));
    assert_eq!(standing(&mut group, "b").unwrap(), Standing::MustRejoin);
    rejoin(&mut group, "b", 6).unwrap();
    assert!(decide(&mut group, "b"));
    assert_eq!(group.generation, 2);
    assert!(group.leave("b", at(7)));
    assert_eq!((group.phase, group.generation), (Phase::Empty, 3));
    assert!(group.take_unstored(9));
    let value = group.value();
    assert_eq!((value.protocol, value.leader, value.members.len()), (None, None, 0));
    assert_eq!(value.protocol_type, "consumer");
    assert!(group.check_commit("g", None).is_ok(), "an empty group takes plain commits");
}

#[test]
fn the_leader_may_come_too_late() {
    let mut group = stable(&["a"]);
    rejoin(&mut group, "a", 1).unwrap();
    let Ok(Standing::Leads(lead)) = standing(&mut group, "a") else { panic!("a leads") };
    join(&mut group, "b", 2).unwrap();
    assert!(!group.assign(&by("a", lead.generation), lead.generation, Assignment::new(), at(2)));
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::MustRejoin);
}

#[test]
fn an_assignment_that_cannot_be_stored_is_decided_again() {
    let mut group = Group::default();
    join(&mut group, "a", 0).unwrap();
    assert!(decide(&mut group, "a"));
    group.take_back_assignment(at(0));
    assert!(decide(&mut group, "a"));
    assert_eq!(partitions(&mut group, "a"), [0]);
}

#[test]
fn a_rejoin_that_says_nothing_new_changes_nothing_but_for_the_leader() {
    let mut group = stable(&["a", "b"]);
    rejoin(&mut group, "b", 1).unwrap();
    assert_eq!(group.phase, Phase::Stable);
    rejoin(&mut group, "a", 1).unwrap();
    assert!(matches!(group.phase, Phase::PreparingRebalance { .. }));
}

#[test]
fn the_group_is_no_larger_than_allowed() {
    let mut group = stable(&["a", "b", "c"]);
    assert_eq!(code(join(&mut group, "d", 1)), Some(ErrorCode::GroupMaxSizeReached));
    assert!(rejoin(&mut group, "c", 1).is_ok());
    assert_eq!(group.members.len(), 3);
}

#[test]
fn members_agree_on_the_assignor_that_most_like_best() {
    let mut group = Group::default();
    let limits = GroupLimits { initial_delay: SECOND, ..LIMITS };
    for (id, assignors) in [
        ("a", ["x", "range", "sticky"]),
        ("b", ["sticky", "range", "y"]),
        ("c", ["z", "sticky", "range"]),
    ] {
        group.join("g", request(&assignors), &limits, at(0), || id.into()).unwrap();
    }
    group.tick(at(2));
    group.tick(at(4));
    assert_eq!(group.protocol.as_deref(), Some("sticky"));
    let roomy = GroupLimits { max_size: 9, ..LIMITS };
    let stranger = group.join("g", request(&["x", "y"]), &roomy, at(5), || "d".into());
    assert_eq!(code(stranger), Some(ErrorCode::InconsistentGroupProtocol));
    assert_eq!(group.members.len(), 3);
}

#[test]
fn an_empty_group_waits_for_more_members_while_they_keep_coming() {
    let limits = GroupLimits { max_size: 9, initial_delay: at(3) };
    let mut group = Group::default();
    let come = |group: &mut Group, id: &str, now: u64| {
        group.join("g", request(&["range"]), &limits, at(now), || id.into()).unwrap();
    };
    come(&mut group, "a", 0);
    assert_eq!(group.next_due(), Some(at(3)));
    come(&mut group, "b", 2);
    group.tick(at(3));
    assert_eq!(group.next_due(), Some(at(6)), "b came meanwhile");
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::Joining);
    group.tick(at(6));
    assert_eq!((group.phase, group.generation), (Phase::CompletingRebalance, 1));
    assert!(group.leave("a", at(7)) && group.leave("b", at(7)));
    assert_eq!(group.generation, 2);
    come(&mut group, "c", 8);
    assert_eq!(group.next_due(), Some(at(11)), "it was empty again");
}

#[test]
fn a_static_member_comes_back_to_what_it_had_under_a_new_id() {
    let mut group = Group::default();
    join_static(&mut group, "i", "i-1", 0);
    assert!(decide(&mut group, "i-1"));
    group.take_unstored(0);
    let moves = group.moves();
    assert!(group.lose("i-1", at(10)));
    assert_eq!(code(group.check_member("g", &by("i-1", 1))), Some(ErrorCode::UnknownMemberId));
    assert_eq!(group.next_due(), Some(at(55)), "its session");
    join_static(&mut group, "i", "i-2", 20);
    assert_eq!((group.phase, group.generation), (Phase::Stable, 1), "no rebalance");
    assert_eq!(partitions(&mut group, "i-2"), [0]);
    assert_eq!(group.leader.as_deref(), Some("i-2"));
    assert!(group.take_unstored(0) && group.moves() > moves);
    assert_eq!(group.next_due(), None);
    let old = Member { instance_id: Some("i".into()), ..by("i-1", 1) };
    assert_eq!(code(group.check_member("g", &old)), Some(ErrorCode::FencedInstanceId));
    assert_eq!(code(group.check_commit("g", Some(&old))), Some(ErrorCode::FencedInstanceId));
    let again = JoinRequest {
        member_id: Some("i-1".into()),
        instance_id: Some("i".into()),
        ..request(&["range"])
    };
    let again = group.join("g", again, &LIMITS, at(21), || "nobody".into());
    assert_eq!(code(again), Some(ErrorCode::FencedInstanceId));
}

#[test]
fn a_static_member_that_wants_something_else_begins_a_rebalance() {
    let mut group = Group::default();
    join_static(&mut group, "i", "i-1", 0);
    assert!(decide(&mut group, "i-1"));
    let mut other = JoinRequest { instance_id: Some("i".into()), ..request(&["range"]) };
    other.protocols[0].1.topics = vec!["u".into()];
    group.join("g", other, &LIMITS, at(1), || "i-2".into()).unwrap();
    assert_eq!((group.phase, group.generation), (Phase::CompletingRebalance, 2));
}

#[test]
fn a_static_member_that_stays_away_is_out_when_its_session_ends() {
    let mut group = stable(&["a"]);
    join_static(&mut group, "i", "i-1", 10);
    rejoin(&mut group, "a", 10).unwrap();
    assert!(decide(&mut group, "a"));
    assert_eq!(partitions(&mut group, "i-1"), [1]);
    group.lose("i-1", at(20));
    assert_eq!(partitions(&mut group, "a"), [0], "what it had waits for it");
    // No rebalance waits for it either.
    rejoin(&mut group, "a", 30).unwrap();
    assert!(decide(&mut group, "a"));
    let generation = group.generation;
    group.tick(at(64));
    assert_eq!(group.members.len(), 2);
    group.tick(at(65));
    assert_eq!(group.members.len(), 1);
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::MustRejoin);
    rejoin(&mut group, "a", 66).unwrap();
    assert!(decide(&mut group, "a"));
    assert_eq!(group.generation, generation + 1);
}

/// What a member that is away has to give back nobody gives back: it was nobody's until its session
/// ended.
#[test]
fn what_a_member_that_is_away_loses_is_given_out_at_once() {
    let mut group = stable(&["a"]);
    join_static(&mut group, "i", "i-1", 1);
    rejoin(&mut group, "a", 1).unwrap();
    assert!(decide(&mut group, "a"));
    assert_eq!(partitions(&mut group, "i-1"), [1]);
    group.lose("i-1", at(2));
    rejoin(&mut group, "a", 3).unwrap();
    let Ok(Standing::Leads(lead)) = standing(&mut group, "a") else { panic!("a leads") };
    let withheld = Assignment::from([("a".to_owned(), vec![("t", 0).into()])]);
    assert!(group.assign(&by("a", lead.generation), lead.generation, withheld, at(3)));
    assert_eq!(standing(&mut group, "a").unwrap(), Standing::MustRejoin);
    rejoin(&mut group, "a", 3).unwrap();
    let Ok(Standing::Leads(lead)) = standing(&mut group, "a") else { panic!("a leads") };
    assert_eq!(lead.members[1].2.owned, [], "nothing is withheld for it any more");
}

/// Nobody could decide: the generation stays until somebody comes or the session ends.
#[test]
fn members_that_are_away_do_not_lead() {
    let mut group = stable(&["a"]);
    join_static(&mut group, "i", "i-1", 1);
    rejoin(&mut group, "a", 1).unwrap();
    assert!(decide(&mut group, "a"));
    group.lose("i-1", at(2));
    group.leave("a", at(3));
    assert!(matches!(group.phase, Phase::PreparingRebalance { .. }));
    assert_eq!(group.next_due(), Some(at(47)), "the session, no rebalance");
    join(&mut group, "b", 4).unwrap();
    assert_eq!(group.leader.as_deref(), Some("b"));
    assert!(decide(&mut group, "b"));
    group.leave("b", at(5));
    group.tick(at(47));
    assert_eq!((group.phase, group.members.len()), (Phase::Empty, 0));
}

#[test]
fn only_members_of_this_generation_commit() {
    let group = Group::default();
    assert!(group.check_commit("g", None).is_ok(), "a group without members takes plain commits");
    assert_eq!(code(group.check_commit("g", Some(&by("a", 0)))), Some(ErrorCode::UnknownMemberId));
    let group = stable(&["a"]);
    assert!(group.check_commit("g", Some(&by("a", 1))).is_ok());
    assert_eq!(code(group.check_commit("g", None)), Some(ErrorCode::UnknownMemberId));
    assert_eq!(
        code(group.check_commit("g", Some(&by("a", 0)))),
        Some(ErrorCode::IllegalGeneration)
    );
    let nowhere = Member { generation: None, ..by("a", 0) };
    assert_eq!(code(group.check_commit("g", Some(&nowhere))), Some(ErrorCode::IllegalGeneration));
    assert_eq!(code(group.check_commit("g", Some(&by("b", 1)))), Some(ErrorCode::UnknownMemberId));
}

/// A generation that was stored as the largest there is, or as none there can be, ended the process
/// that joined.
#[test]
fn any_stored_generation_has_a_next() {
    for (stored, next) in [(7, 8), (i32::MAX - 1, i32::MAX), (i32::MAX, 0), (-5, 0)] {
        let mut group = Group::default();
        group.replay(&GroupValue { generation: stored, ..GroupValue::default() });
        group.restart(at(0), 0);
        join(&mut group, "a", 0).unwrap();
        assert_eq!(group.generation, next, "after {stored}");
    }
}

#[test]
fn a_restart_drops_dynamic_members_and_keeps_the_generation() {
    let mut group = stable(&["a", "b"]);
    group.commits.insert(&("t", 0).into(), value(5, 0));
    let mut next = Group { commits: group.commits.clone(), ..Group::default() };
    next.replay(&group.value());
    assert_eq!(next.view().members.len(), 2, "who only reads sees them");
    next.restart(at(0), 500);
    assert_eq!((next.phase, next.generation), (Phase::Empty, 1));
    assert_eq!(next.expired_commits(599, 100), []);
    assert_eq!(next.expired_commits(600, 100), [("t", 0).into()], "empty since the restart");
}

#[test]
fn a_restart_keeps_static_members_until_their_session_ends() {
    let mut group = Group::default();
    join_static(&mut group, "i", "i-1", 0);
    assert!(decide(&mut group, "i-1"));
    let mut next = Group::default();
    next.replay(&group.value());
    next.restart(at(100), 0);
    assert_eq!(next.next_due(), Some(at(145)));
    join_static(&mut next, "i", "i-2", 110);
    assert_eq!((next.phase, next.generation), (Phase::Stable, 1));
    assert_eq!(partitions(&mut next, "i-2"), [0]);
    // With a dynamic member beside it there is something to share out anew, at once.
    let mut mixed = group.clone();
    join(&mut mixed, "a", 1).unwrap();
    let back = JoinRequest {
        member_id: Some("i-1".into()),
        instance_id: Some("i".into()),
        ..request(&["range"])
    };
    mixed.join("g", back, &LIMITS, at(1), || "nobody".into()).unwrap();
    assert!(decide(&mut mixed, "i-1"));
    let mut next = Group::default();
    next.replay(&mixed.value());
    next.restart(at(100), 0);
    join(&mut next, "b", 101).unwrap();
    assert_eq!((next.phase, next.generation), (Phase::CompletingRebalance, 3));
    assert!(decide(&mut next, "b"));
    assert_eq!(next.members.len(), 2);
}

fn value(offset: i64, timestamp: i64) -> CommitValue {
    CommitValue { position: offset.into(), timestamp, expires: None }
}

#[test]
fn commits_expire_as_the_state_of_the_group_says() {
    let (t, u) = (TopicPartition::new("t", 0), TopicPartition::new("u", 0));
    let fill = |group: &mut Group| {
        group.commits.insert(&t, value(1, 10));
        group.commits.insert(&u, value(2, 20));
    };
    let mut simple = Group::default();
    fill(&mut simple);
    assert_eq!(simple.expired_commits(110, 100), vec![t.clone()], "each from its own time");
    assert_eq!(simple.next_expiry(100), Some(110));
    let mut group = stable(&["a"]);
    fill(&mut group);
    assert_eq!(group.expired_commits(1000, 100), vec![u.clone()], "nobody subscribes to u");
    join(&mut group, "b", 5).unwrap();
    assert_eq!(group.expired_commits(1000, 100), [], "not in a rebalance");
    assert_eq!(group.next_expiry(100), None);
    group.leave("a", at(6));
    group.leave("b", at(6));
    group.take_unstored(500);
    assert_eq!(group.expired_commits(599, 100), [], "from when it became empty");
    assert_eq!(group.expired_commits(600, 100), [t, u]);
}
