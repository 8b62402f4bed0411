//! The vectors were computed with Kafka's own classes.

use super::*;

fn topics(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
    counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
}

fn show(assignment: &Assignment) -> String {
    let member = |(id, given): (&String, &Vec<TopicPartition>)| {
        let given: Vec<String> =
            given.iter().map(|tp| format!("{}{}", tp.topic(), tp.partition())).collect();
        format!("{id} {}", given.join(" "))
    };
    let members: Vec<String> = assignment.iter().map(member).collect();
    members.join(", ").replace(" ,", ",").trim().to_owned()
}

fn check(partitions: &[(&str, i32)], members: &[Subscription], wanted: [&str; 3]) {
    let partitions = topics(partitions);
    let assignors: [&dyn Assignor; 3] =
        [&RangeAssignor, &RoundRobinAssignor, &CooperativeStickyAssignor];
    for (assignor, wanted) in assignors.into_iter().zip(wanted) {
        assert_eq!(show(&assignor.assign(&partitions, members)), wanted, "{}", assignor.name());
    }
    assert_eq!(show(&StickyAssignor.assign(&partitions, members)), wanted[2]);
}

fn members(ids: &[&str], topics: &[&str]) -> Vec<Subscription> {
    ids.iter().map(|id| Subscription::new(*id, topics.iter().copied())).collect()
}

#[test]
fn two_topics_of_three_among_two() {
    let even = "A t0 t2 u1, B t1 u0 u2";
    let range = "A t0 t1 u0 u1, B t2 u2";
    check(&[("t", 3), ("u", 3)], &members(&["A", "B"], &["t", "u"]), [range, even, even]);
}

#[test]
fn seven_partitions_among_three() {
    let even = "A t0 t3 t6, B t1 t4, C t2 t5";
    let range = "A t0 t1 t2, B t3 t4, C t5 t6";
    check(&[("t", 7)], &members(&["A", "B", "C"], &["t"]), [range, even, even]);
}

#[test]
fn members_that_want_different_topics() {
    let wants = [
        Subscription::new("A", ["t"]),
        Subscription::new("B", ["t", "u"]),
        Subscription::new("C", ["t", "u", "w"]),
    ];
    let in_turn = "A t0, B u0, C u1 w0 w1 w2";
    let even = "A t0, B u0 u1, C w0 w1 w2";
    check(&[("t", 1), ("u", 2), ("w", 3)], &wants, [in_turn, in_turn, even]);
}

fn owning(id: &str, numbers: &[i32]) -> Subscription {
    Subscription::new(id, ["t"]).owned(numbers.iter().map(|n| ("t", *n))).generation(1)
}

#[test]
fn a_newcomer_gets_its_share_in_two_rounds() {
    let first = [owning("A", &[0, 1, 2, 3]), owning("B", &[4, 5, 6]), owning("C", &[])];
    let partitions = topics(&[("t", 7)]);
    let given = CooperativeStickyAssignor.assign(&partitions, &first);
    assert_eq!(show(&given), "A t0 t1 t2, B t4 t5, C");
    assert_eq!(show(&StickyAssignor.assign(&partitions, &first)), "A t0 t1 t2, B t4 t5, C t3 t6");
    let second = [owning("A", &[0, 1, 2]), owning("B", &[4, 5]), owning("C", &[])];
    let given = CooperativeStickyAssignor.assign(&partitions, &second);
    assert_eq!(show(&given), "A t0 t1 t2, B t4 t5, C t3 t6");
}

#[test]
fn what_a_member_leaves_behind_goes_to_who_has_least() {
    let left = [owning("A", &[0, 1, 2]), owning("B", &[4, 5])];
    let given = CooperativeStickyAssignor.assign(&topics(&[("t", 7)]), &left);
    assert_eq!(show(&given), "A t0 t1 t2 t6, B t4 t5 t3");
}

#[test]
fn static_members_come_first_by_instance_id() {
    let three = [
        Subscription::new("m1", ["t"]),
        Subscription::new("m2", ["t"]).instance_id("z"),
        Subscription::new("m3", ["t"]).instance_id("b"),
    ];
    let given = RangeAssignor.assign(&topics(&[("t", 7)]), &three);
    assert_eq!(show(&given), "m1 t5 t6, m2 t3 t4, m3 t0 t1 t2");
}

#[test]
fn of_two_claims_the_newer_generation_counts_and_of_equal_ones_none() {
    let partitions = topics(&[("t", 2)]);
    let (old, new) = (owning("A", &[0, 1]), owning("B", &[0, 1]).generation(2));
    let given = StickyAssignor.assign(&partitions, &[old.clone(), new.clone()]);
    assert_eq!(show(&given), "A t1, B t0");
    let given = CooperativeStickyAssignor.assign(&partitions, &[old, new.generation(1)]);
    assert_eq!(show(&given), "A, B", "both give back first");
}

#[test]
fn what_does_not_exist_or_nobody_wants_is_passed_over() {
    let wants = [owning("A", &[0, 9]), Subscription::new("B", ["nowhere"])];
    let partitions = topics(&[("t", 2), ("unwanted", 5)]);
    let assignors: [&dyn Assignor; 4] =
        [&RangeAssignor, &RoundRobinAssignor, &StickyAssignor, &CooperativeStickyAssignor];
    for assignor in assignors {
        assert_eq!(show(&assignor.assign(&partitions, &wants)), "A t0 t1, B");
        assert!(assignor.assign(&partitions, &[]).is_empty());
    }
}

/// Whatever the members want and own: every wanted partition has one owner that wants it, loads are
/// as even as that allows, and an assignment that was even already stays.
#[test]
fn random_groups_are_even_and_stable() {
    let random = crate::random::Random::seeded(11);
    let draw = |bound: i32| i32::try_from(random.below(u64::from(bound.unsigned_abs()))).unwrap();
    for round in 0..3000 {
        let counts: Vec<(String, i32)> =
            (0..=draw(4)).map(|topic| (format!("t{topic}"), draw(7) + 1)).collect();
        let partitions: BTreeMap<String, i32> = counts.iter().cloned().collect();
        let mut group: Vec<Subscription> = (0..=draw(6))
            .map(|id| {
                let wanted = counts.iter().filter(|_| draw(3) > 0).map(|(topic, _)| topic.clone());
                Subscription::new(format!("m{id}"), wanted.collect::<Vec<_>>())
            })
            .collect();
        let mut last = Assignment::new();
        for generation in 0..4 {
            let given = StickyAssignor.assign(&partitions, &group);
            let all: Vec<&TopicPartition> = given.values().flatten().collect();
            let wanted = wanted_partitions(&partitions, &group);
            assert_eq!(all.len(), wanted.len(), "round {round}: each has one owner");
            for member in &group {
                let mine = &given[&member.member_id];
                assert!(mine.iter().all(|tp| member.wants(tp.topic())), "round {round}");
                let alike = group.iter().all(|other| other.topics == member.topics);
                if alike {
                    let least = given.values().map(Vec::len).min().unwrap();
                    assert!(mine.len() <= least + 1, "round {round}: {given:?}");
                }
            }
            if generation > 0 && generation < 3 {
                let same = |id: &String| {
                    let set = |a: &Assignment| -> std::collections::BTreeSet<TopicPartition> {
                        a[id].iter().cloned().collect()
                    };
                    set(&given) == set(&last)
                };
                assert!(given.keys().all(same), "round {round}: nothing changed, nothing moves");
            }
            for member in &mut group {
                let owned = given[&member.member_id].clone();
                *member = member.clone().owned(owned).generation(generation);
            }
            last = given;
            if generation == 2 {
                // One goes; what the others had beyond nothing stays theirs.
                group.pop();
                if group.is_empty() {
                    break;
                }
            }
        }
    }
}
