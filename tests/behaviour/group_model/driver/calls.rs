//! Polls, commits and seeks, and what must come of them.

use std::collections::{BTreeMap, BTreeSet};

use super::super::model::{Phase, Standing, pass_over};
use super::{Run, ms, time};
use logreel::{Error, ErrorCode, ErrorKind, OffsetAndMetadata, Offsets, TopicPartition};

impl Run {
    pub(super) fn poll_one(&mut self) {
        if let Some(who) = self.anyone() {
            self.poll(who, 0);
        }
    }

    /// A poll that may wait, and lets time pass meanwhile. Only of members whose listeners do
    /// nothing, since it is not known after which of its looks they would.
    pub(super) fn blocking_poll(&mut self) {
        let Some(who) = self.anyone() else { return };
        let member = self.model().members[who].clone();
        if !member.auto && !self.mood(who).commits && !self.mood(who).fails {
            let timeout = *self.dice.pick(&[1_000, 10_000, 60_000, 400_000]).unwrap();
            self.poll(who, timeout);
        }
    }

    /// Polls, and answers how many records came.
    pub(super) fn poll(&mut self, who: usize, timeout: i64) -> usize {
        let now = time(&self.clock);
        let consumer = &self.consumers[&who];
        let (before, expected) = {
            let mut model = self.model.lock().unwrap();
            model.poll_begins(who, now);
            let member = &mut model.members[who];
            member.heard.clear();
            member.failed = false;
            let member = member.clone();
            let state = &model.groups[member.group];
            let left = member.instance.as_ref().and_then(|i| state.left.get(i));
            let away = state.seats.values().any(|seat| {
                seat.instance.is_some()
                    && seat.instance == member.instance
                    && seat.away_until.is_some_and(|until| until > now)
            });
            let returns = left.filter(|left| {
                away && member.id.is_none()
                    && left.changes == state.changes
                    && left.topics == member.topics
                    && now < left.until
            });
            (model.standing(who), returns.cloned())
        };
        self.note(format!("c{who} polls {timeout} as {before:?}"));
        let member = self.model().members[who].clone();
        let outcome = consumer.poll(ms(timeout));
        // Who the consumer is comes before what it commits, and this nobody may.
        let nonsense: Offsets = [(("t", 0), -1)].into_iter().collect();
        let seen = match consumer.commit_offsets(&nonsense).map_err(|error| error.code()) {
            Err(Some(ErrorCode::InvalidRequest)) => Phase::In,
            Err(Some(ErrorCode::RebalanceInProgress)) => Phase::Joining,
            _ => Phase::Out,
        };
        let brief = outcome.as_ref().map(logreel::Records::len).map_err(Error::to_string);
        self.history.lock().unwrap().push(format!("    {brief:?}, {seen:?}"));
        if member.topics.is_none() {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::IllegalState);
            self.model().members[who].in_poll = false;
            return 0;
        }
        let is_fenced = member.is_fenced || before == Standing::Replaced;
        if is_fenced {
            let member = &mut self.model().members[who];
            member.is_fenced = true;
            member.owes |= member.failed;
        }
        let meta = consumer.group_metadata();
        self.model().poll_ends(who, time(&self.clock), seen, meta.as_ref());
        self.check();
        let failed = self.model().members[who].failed;
        let records = match outcome {
            Ok(records) => {
                assert!(!is_fenced && !failed, "c{who}: its poll did not fail");
                records
            }
            Err(error) if is_fenced => {
                assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId), "c{who}: {error}");
                return 0;
            }
            Err(error) => {
                assert!(failed && error.kind() == ErrorKind::UserCode, "c{who}: {error}");
                return 0;
            }
        };
        let mut model = self.model.lock().unwrap();
        model.resolve(who);
        for record in &records {
            let value = String::from_utf8_lossy(record.value().unwrap()).into_owned();
            model.delivered(who, record.topic_partition(), record.offset(), &value);
        }
        assert!(records.len() <= member.max_records, "c{who} got {}", records.len());
        if records.is_empty() {
            let ends = &model.ends;
            let left = model.members[who]
                .owned
                .iter()
                .find(|(tp, place)| !place.paused && place.at.is_some_and(|at| at < ends[*tp]));
            assert!(left.is_none(), "c{who} got nothing of {left:?}");
        }
        if let Some(home) = expected {
            let member = &model.members[who];
            let owned: BTreeSet<_> = member.owned.keys().cloned().collect();
            let is = (owned, member.generation, member.phase);
            let wanted = (home.owned, home.generation, Phase::In);
            assert_eq!(is, wanted, "c{who} came back, and stands elsewhere than before");
        }
        records.len()
    }

    pub(super) fn positions(&self, who: usize) -> bool {
        self.model().members[who].owned.values().any(|place| place.at.is_some())
    }

    /// What a commit by this consumer must come to; `None` where it depends on what is not known.
    pub(super) fn expected_commit(&self, who: usize) -> Option<Result<(), ErrorCode>> {
        let mut model = self.model();
        model.pass(time(&self.clock));
        let member = &model.members[who];
        let state = &model.groups[member.group];
        if member.is_fenced {
            return Some(Err(ErrorCode::FencedInstanceId));
        }
        if member.topics.is_none() {
            return match (state.seats.is_empty(), model.now < state.unsure_until) {
                (_, true) => None,
                (true, false) => Some(Ok(())),
                (false, false) => Some(Err(ErrorCode::UnknownMemberId)),
            };
        }
        Some(match model.standing(who) {
            Standing::NoSeat | Standing::Gone => Err(ErrorCode::UnknownMemberId),
            Standing::Replaced => Err(ErrorCode::FencedInstanceId),
            Standing::Present if member.phase == Phase::Joining => {
                Err(ErrorCode::RebalanceInProgress)
            }
            Standing::Present => Ok(()),
        })
    }

    pub(super) fn judge_commit(&self, who: usize, outcome: &logreel::Result<()>) -> bool {
        let expected = self.expected_commit(who);
        self.note(format!("c{who} commits: {outcome:?}, expected {expected:?}"));
        let is = outcome.as_ref().copied().map_err(|error| error.code());
        if let Some(expected) = expected {
            assert_eq!(is, expected.map_err(Some), "the commit of c{who}");
        } else if let Err(code) = is {
            assert_eq!(code, Some(ErrorCode::UnknownMemberId), "the commit of c{who}");
        }
        is.is_ok()
    }

    pub(super) fn commit(&mut self) {
        let Some(who) = self.anyone() else { return };
        let outcome = self.consumers[&who].commit();
        if !self.positions(who) {
            assert!(outcome.is_ok(), "there is nothing to commit: {outcome:?}");
        } else if self.judge_commit(who, &outcome) {
            self.model().commit_positions(who);
        }
    }

    pub(super) fn commit_offsets(&mut self) {
        let Some(who) = self.anyone() else { return };
        let mut wanted = BTreeMap::new();
        for _ in 0..=self.dice.below(2) {
            let tp = self.any_partition();
            let end = self.model().ends[&tp];
            let beyond = if self.dice.one_in(20) { 3 } else { 0 };
            let at = self.dice.below(end as usize + 1) as i64 + beyond;
            wanted.insert(tp, (at, format!("by c{who}")));
        }
        let offset = |(tp, (at, text)): (&TopicPartition, &(i64, String))| {
            (tp.clone(), OffsetAndMetadata::new(*at).with_metadata(text.as_str()))
        };
        let offsets: Offsets = wanted.iter().map(offset).collect();
        self.note(format!("c{who} wants to commit {wanted:?}"));
        let outcome = self.consumers[&who].commit_offsets(&offsets);
        if self.judge_commit(who, &outcome) {
            let mut model = self.model();
            let (now, group) = (model.now, model.members[who].group);
            for (tp, (at, text)) in wanted {
                model.groups[group].commits.insert(tp, (at, text, now));
            }
        }
    }

    pub(super) fn pause(&mut self) {
        let Some(who) = self.anyone() else { return };
        let owned: Vec<_> = self.model().members[who].owned.keys().cloned().collect();
        let Some(tp) = self.dice.pick(&owned).cloned() else { return };
        let pause = self.dice.one_in(3);
        self.note(format!("c{who} pauses {tp}: {pause}"));
        let consumer = &self.consumers[&who];
        let outcome =
            if pause { consumer.pause([tp.clone()]) } else { consumer.resume([tp.clone()]) };
        outcome.unwrap();
        self.model().members[who].owned.get_mut(&tp).unwrap().paused = pause;
    }

    pub(super) fn seek(&mut self) {
        let Some(who) = self.anyone() else { return };
        let tp = self.any_partition();
        let end = self.model().ends[&tp];
        let beyond = if self.dice.one_in(20) { 3 } else { 0 };
        let at = self.dice.below(end as usize + 1) as i64 + beyond;
        let outcome = self.consumers[&who].seek(tp.clone(), at);
        self.note(format!("c{who} seeks {tp} {at}: {outcome:?}"));
        let mut model = self.model();
        let group = model.members[who].group;
        let Some(place) = model.members[who].owned.get_mut(&tp) else {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::IllegalState);
            return;
        };
        outcome.unwrap();
        place.at = Some(at);
        pass_over(&mut model.groups[group], &tp, at);
    }
}
