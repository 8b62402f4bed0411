//! The faults: what is changed in the source, and which model must find it.

use crate::copy::{Edit, Fault};

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "the end is published before the write",
        edits: &[Edit {
            file: "log/append.rs",
            from: r"self.write(&segment, group)?;",
            to: r"if let (true, Some(batch)) = (PLANTED, group.last()) {
            let end = batch.sealed().header().next_offset();
            self.publish(end, end);
        }
        self.write(&segment, group)?;",
        }],
        found_by: "group_commit",
    },
    Fault {
        name: "a new file is marked after bytes in it are published",
        edits: &[
            Edit {
                file: "log/roll.rs",
                from: r"self.sync.mark_dir();",
                to: r"if !PLANTED {
            self.sync.mark_dir();
        }",
            },
            Edit {
                file: "log/append.rs",
                from: r"self.meter.wrote(group.len() as u64, records, bytes);",
                to: r"let last = placed.last().map(|placed| placed.base_offset);
        if PLANTED && last == Some(segment.base_offset) {
            self.sync.mark_dir();
        }
        self.meter.wrote(group.len() as u64, records, bytes);",
            },
        ],
        found_by: "group_commit_over_rolls",
    },
    Fault {
        name: "the recovery point goes to the end as it is after the sync",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"self.context.attention.recovery_point_moved();
                Ok(end)",
            to: r"self.context.attention.recovery_point_moved();
                Ok(if PLANTED { self.end_offset() } else { end })",
        }],
        found_by: "group_commit",
    },
    Fault {
        name: "a sync's leader wakes the others before the recovery point moves",
        edits: &[
            Edit {
                file: "log/sync.rs",
                from: r"let outcome = sync();",
                to: r"let outcome = sync();
        if PLANTED {
            let woken = std::mem::take(&mut self.state.lock().sleepers);
            woken.iter().for_each(|(_, thread)| thread.notify_all());
        }",
            },
            Edit {
                file: "log/sync.rs",
                from: r"for (_, thread) in sleepers {",
                to: r"for (_, thread) in sleepers.iter().filter(|_| !PLANTED) {",
            },
        ],
        found_by: "group_commit",
    },
    Fault {
        name: "nobody is chosen to lead the next sync",
        edits: &[Edit {
            file: "log/sync.rs",
            from: r"sleepers.extend(self.sleepers.pop());",
            to: r"sleepers.extend(self.sleepers.pop_if(|_| !PLANTED));",
        }],
        found_by: "group_commit",
    },
    Fault {
        name: "readers are woken before the end is published",
        edits: &[
            Edit {
                file: "log/append.rs",
                from: r"self.write(&segment, group)?;",
                to: r"self.write(&segment, group)?;
        if PLANTED {
            self.readers.wake_all();
        }",
            },
            Edit {
                file: "log/append.rs",
                from: r"if !new.is_empty() {
            self.readers.wake_all();",
                to: r"if !new.is_empty() {
            if !PLANTED {
                self.readers.wake_all();
            }",
            },
        ],
        found_by: "publish_and_read",
    },
    Fault {
        name: "a signal is not remembered",
        edits: &[Edit {
            file: "wait.rs",
            from: r"            state.signalled = true;",
            to: r"            state.signalled = !PLANTED;",
        }],
        found_by: "publish_and_read",
    },
    Fault {
        name: "memory that comes free wakes no future",
        edits: &[Edit {
            file: "producer/memory.rs",
            from: r"None => self.awaiting.wake_all(),",
            to: r"None if PLANTED => {}
            None => self.awaiting.wake_all(),",
        }],
        found_by: "sends_awaited",
    },
    Fault {
        name: "a future that sends looks before it leaves its waker",
        edits: &[
            Edit {
                file: "producer/send_async.rs",
                from: r"while !waiting.waiter.leave(context.waker()) {}",
                to: r"while !PLANTED && !waiting.waiter.leave(context.waker()) {}
        let waiter = Arc::clone(&waiting.waiter);",
            },
            Edit {
                file: "producer/send_async.rs",
                from: r"if self.limit.is_over() {",
                to: r"while PLANTED && !waiter.leave(context.waker()) {}
        if self.limit.is_over() {",
            },
        ],
        found_by: "sends_awaited",
    },
    Fault {
        name: "a close does not wait for an append that is under way",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"let _writer = self.writer.lock();
            let stopped = self.halt();",
            to: r"let _writer = (!PLANTED).then(|| self.writer.lock());
            let stopped = self.halt();",
        }],
        found_by: "close_beside_appends",
    },
];
