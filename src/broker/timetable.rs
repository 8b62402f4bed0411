//! When the regular work of a broker is due. Pure: it is told the time.

use std::time::Duration;

/// Work that is done now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Looking for segments that have expired.
    Retention,
    /// Looking for logs to clean.
    Cleaning,
    /// Forgetting producers that have been silent for long.
    Producers,
    /// Storing recovery points and log starts.
    Checkpoint,
}

impl Task {
    const ALL: [Self; 4] = [Self::Retention, Self::Cleaning, Self::Producers, Self::Checkpoint];
}

/// What is planned, and when. Nothing is planned that would find nothing to do.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    due: [Option<Duration>; Task::ALL.len()],
}

impl Timetable {
    /// Plans a task; the earliest wish counts.
    pub(super) fn plan(&mut self, task: Task, at: Duration) {
        if let Some(due) = self.entry(task) {
            *due = Some(due.map_or(at, |due| due.min(at)));
        }
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.due.iter().flatten().min().copied()
    }

    /// Takes one that is due. It is planned again when it is known to be needed.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Task> {
        let mut is_due =
            |task: &Task| self.entry(*task).and_then(|due| due.take_if(|at| *at <= now)).is_some();
        Task::ALL.into_iter().find(|task| is_due(task))
    }

    fn entry(&mut self, task: Task) -> Option<&mut Option<Duration>> {
        let at = Task::ALL.iter().position(|other| *other == task)?;
        self.due.get_mut(at)
    }
}

/// Times at which a task may run: the first, and then one every interval. So what is planned often
/// is done once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) first: Duration,
    pub(super) interval: Duration,
}

impl Grid {
    /// The first of them after `now`.
    pub(super) fn after(&self, now: Duration) -> Duration {
        self.at_or_after(now.saturating_add(Duration::from_nanos(1)))
    }

    /// The first of them that is not before `at`.
    pub(super) fn at_or_after(&self, at: Duration) -> Duration {
        let interval = self.interval.as_nanos().max(1);
        let since = at.saturating_sub(self.first).as_nanos();
        let nanos = since.div_ceil(interval).saturating_mul(interval);
        self.first.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn a_task_runs_once_at_its_earliest_time() {
        let mut table = Timetable::default();
        assert_eq!(table.next(), None);
        table.plan(Task::Cleaning, seconds(9));
        table.plan(Task::Cleaning, seconds(5));
        table.plan(Task::Cleaning, seconds(7));
        table.plan(Task::Retention, seconds(6));
        assert_eq!(table.next(), Some(seconds(5)));
        assert_eq!(table.take_due(seconds(4)), None);
        assert_eq!(table.take_due(seconds(6)), Some(Task::Retention));
        assert_eq!(table.take_due(seconds(6)), Some(Task::Cleaning));
        assert_eq!(table.take_due(seconds(100)), None);
        assert_eq!(table.next(), None);
    }

    #[test]
    fn times_lie_on_a_grid() {
        let grid = Grid { first: seconds(30), interval: seconds(300) };
        assert_eq!(grid.after(seconds(0)), seconds(30));
        assert_eq!(grid.at_or_after(seconds(30)), seconds(30));
        assert_eq!(grid.after(seconds(30)), seconds(330));
        assert_eq!(grid.after(seconds(331)), seconds(630));
        let fine = Grid { first: seconds(0), interval: Duration::ZERO };
        assert_eq!(fine.at_or_after(seconds(7)), seconds(7), "no interval is every moment");
    }
}
