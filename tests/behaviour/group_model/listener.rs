//! What listeners do: tell the model.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use super::driver::time;
use super::model::Model;
use super::{Dice, History};
use logreel::TopicPartition;
use logreel::consumer::{ListenerResult, RebalanceContext, RebalanceListener};
use logreel::testing::MockClock;

/// A listener that tells the model what it is told, and now and then does something or fails.
pub struct Ear {
    pub who: usize,
    pub model: Arc<Mutex<Model>>,
    pub history: History,
    pub clock: MockClock,
    pub dice: Dice,
    pub commits: bool,
    pub fails: bool,
}

impl Ear {
    fn hear(
        &mut self,
        context: &RebalanceContext<'_>,
        what: &'static str,
        partitions: &[TopicPartition],
    ) -> ListenerResult {
        let (has, meta) = (context.assignment(), context.group_metadata());
        let line = format!("    c{} {what} {partitions:?} {:?}", self.who, meta.as_ref());
        self.history.lock().unwrap().push(line);
        {
            let mut model = self.model.lock().unwrap();
            model.pass(time(&self.clock));
            model.told(self.who, what, partitions, &has, meta.as_ref());
        }
        if self.commits && self.dice.one_in(2) {
            let outcome = context.commit().map_err(|error| error.to_string());
            self.history.lock().unwrap().push(format!("    commits: {outcome:?}"));
            self.model.lock().unwrap().listener_committed(self.who, what, outcome);
        }
        self.model.lock().unwrap().told_done(self.who, what, partitions);
        if self.fails && self.dice.one_in(4) {
            self.model.lock().unwrap().members[self.who].failed = true;
            if self.dice.one_in(2) {
                return Err("as planned".into());
            }
            // Without the message that a panic prints.
            resume_unwind(Box::new("as planned"));
        }
        Ok(())
    }
}

impl RebalanceListener for Ear {
    fn on_assigned(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "assigned", p)
    }

    fn on_revoked(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "revoked", p)
    }

    fn on_lost(&mut self, c: &RebalanceContext<'_>, p: &[TopicPartition]) -> ListenerResult {
        self.hear(c, "lost", p)
    }
}
