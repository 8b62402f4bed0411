//! The faults: what is changed in the source, and which test must find it.

/// A change of one place: in `file` the text `from`, which stands there once, becomes `to`.
/// `planted("...")` says whether the fault of that name is at work.
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
    /// The test of `tests/crash` that must fail.
    pub(crate) found_by: &'static str,
}

const APPENDS: &str = "appends_and_rolls_at_every_acks_level";
const CLOSES: &str = "clean_closes_and_reopens";
const COMMITS: &str = "group_commits";
const TOPICS: &str = "topics_made_deleted_and_made_anew";
const SEQUENCES: &str = "sequences::short_and_long_sequences_of_steps";
const COMPACTION: &str = "upkeep::a_crash_while_a_log_is_compacted";
const RETENTION: &str = "upkeep::a_crash_while_the_beginning_of_a_log_goes";
const DELETION: &str = "deletions::a_crash_leaves_the_commits_of_a_deleted_topic";
const FAILED_SYNC: &str = "faults::a_failed_sync_stops_the_partition_and_is_never_retried";

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "acknowledged before it is synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: "            segment.file().sync()\n        });",
            to: "            if crate::planted(\"acknowledged before it is synced\") {\n                \
                 return Ok(());\n            }\n            segment.file().sync()\n        });",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "directory of a new segment not synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: "Ok(()) if dir =>",
            to: "Ok(()) if dir && !crate::planted(\"directory of a new segment not synced\") =>",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "only the active segment synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: "        let outcome = segments.iter().skip(first)",
            to: "        let first = if crate::planted(\"only the active segment synced\") {\n            \
                 segments.len().saturating_sub(1)\n        } else {\n            first\n        };\n        \
                 let outcome = segments.iter().skip(first)",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "sync tried again after it failed",
        edits: &[
            Edit {
                file: "log/partition.rs",
                from: "                self.stop(Halt::Poisoned(error.clone()));\n                \
                       Err(self.storage_error(error))",
                to: "                if !crate::planted(\"sync tried again after it failed\") {\n                    \
                     self.stop(Halt::Poisoned(error.clone()));\n                }\n                \
                     Err(self.storage_error(error))",
            },
            Edit {
                file: "log/sync.rs",
                from: "                    state.failed = Some(error.clone());",
                to: "                    if !crate::planted(\"sync tried again after it failed\") {\n                        \
                     state.failed = Some(error.clone());\n                    }",
            },
        ],
        found_by: FAILED_SYNC,
    },
    Fault {
        name: "checksums not verified at open",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: "Demand { crc: true, ..segment.demand() }",
            to: "Demand { crc: !crate::planted(\"checksums not verified at open\"), \
                 ..segment.demand() }",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "tail not written again at open",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: "        self.rewrite(first)\n",
            to: "        if crate::planted(\"tail not written again at open\") {\n            \
                 return Ok(());\n        }\n        self.rewrite(first)\n",
        }],
        found_by: SEQUENCES,
    },
    Fault {
        name: "tail written again but not synced",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: "            segment.file().sync()?;\n            wrote = true;",
            to: "            if crate::planted(\"tail written again but not synced\") {\n                \
                 continue;\n            }\n            segment.file().sync()?;\n            wrote = true;",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "recovery point ahead of the sync",
        edits: &[Edit {
            file: "broker/checkpoints.rs",
            from: "recovery_point: log.recovery_point() };",
            to: "recovery_point: if crate::planted(\"recovery point ahead of the sync\") {\n                        \
                 log.end_offset()\n                    } else {\n                        \
                 log.recovery_point()\n                    } };",
        }],
        found_by: SEQUENCES,
    },
    Fault {
        name: "marker written before the data is synced",
        edits: &[Edit {
            file: "broker/shared.rs",
            from: "        let mut outcome = Ok(());\n        let mut sound = true;\n        \
                   for log in self.logs() {",
            to: "        let mut outcome = Ok(());\n        let mut sound = true;\n        \
                 if crate::planted(\"marker written before the data is synced\") {\n            \
                 self.write_marker()?;\n        }\n        for log in self.logs() {",
        }],
        found_by: CLOSES,
    },
    Fault {
        name: "marker left standing by an open",
        edits: &[Edit {
            file: "broker/open.rs",
            from: "        if marked || listed {\n            storage.sync_dir(None)?;",
            to: "        if crate::planted(\"marker left standing by an open\") {\n            \
                 checkpoint::replace(&storage, None, CLEAN_MARKER, \"\")?;\n        }\n        \
                 if marked || listed {\n            storage.sync_dir(None)?;",
        }],
        found_by: CLOSES,
    },
    Fault {
        name: "removal of the marker not synced",
        edits: &[Edit {
            file: "broker/open.rs",
            from: "        if marked || listed {\n",
            to: "        if (marked || listed) \
                 && !crate::planted(\"removal of the marker not synced\") {\n",
        }],
        found_by: CLOSES,
    },
    Fault {
        name: "file replaced before its content is synced",
        edits: &[Edit {
            file: "storage/files.rs",
            from: "        file.write_all_at(0, content)?;\n        file.sync()?;\n        drop(file);",
            to: "        file.write_all_at(0, content)?;\n        \
                 if !crate::planted(\"file replaced before its content is synced\") {\n            \
                 file.sync()?;\n        }\n        drop(file);",
        }],
        found_by: TOPICS,
    },
    Fault {
        name: "file replaced and its directory not synced",
        edits: &[Edit {
            file: "storage/files.rs",
            from: "        self.sync_dir(path.dir.as_ref())\n    }\n}\n",
            to: "        if crate::planted(\"file replaced and its directory not synced\") {\n            \
                 return Ok(());\n        }\n        self.sync_dir(path.dir.as_ref())\n    }\n}\n",
        }],
        found_by: TOPICS,
    },
    Fault {
        name: "commit before the records below it are synced",
        edits: &[Edit {
            file: "broker/offsets.rs",
            from: "pub(super) fn sync_positions(offsets: &Offsets, logs: &[Arc<Log>]) -> Result<()> {\n",
            to: "pub(super) fn sync_positions(offsets: &Offsets, logs: &[Arc<Log>]) -> Result<()> {\n    \
                 if crate::planted(\"commit before the records below it are synced\") {\n        \
                 return Ok(());\n    }\n",
        }],
        found_by: COMMITS,
    },
    Fault {
        name: "topic forgotten before its commits are",
        edits: &[Edit {
            file: "broker/topics.rs",
            from: "        self.forget_commits(name)?;\n        changed.topics.remove(name);\n        \
                   changed.store(storage)?;",
            to: "        if !crate::planted(\"topic forgotten before its commits are\") {\n            \
                 self.forget_commits(name)?;\n        }\n        changed.topics.remove(name);\n        \
                 changed.store(storage)?;\n        self.forget_commits(name)?;",
        }],
        found_by: DELETION,
    },
    Fault {
        name: "log start not stored before it is promised",
        edits: &[Edit {
            file: "broker/retaining.rs",
            from: "        let outcome = self.store_log_starts(std::slice::from_ref(log));",
            to: "        let outcome = \
                 if crate::planted(\"log start not stored before it is promised\") {\n            \
                 Ok(())\n        } else {\n            \
                 self.store_log_starts(std::slice::from_ref(log))\n        };",
        }],
        found_by: RETENTION,
    },
    Fault {
        name: "compacted segment not synced before the swap",
        edits: &[Edit {
            file: "log/cleaner/output.rs",
            from: "        file.sync()?;\n        // Only retention",
            to: "        if !crate::planted(\"compacted segment not synced before the swap\") {\n            \
                 file.sync()?;\n        }\n        // Only retention",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "swap begun before its names are durable",
        edits: &[Edit {
            file: "log/cleaner/swap.rs",
            from: "        storage.rename_if_exists(&log.dir, &cleaned, \
                   &suffixed(kind, base, SWAP_SUFFIX))?;\n    }\n",
            to: "        storage.rename_if_exists(&log.dir, &cleaned, \
                 &suffixed(kind, base, SWAP_SUFFIX))?;\n    }\n    \
                 if crate::planted(\"swap begun before its names are durable\") {\n        \
                 return Ok(());\n    }\n",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "old segments met beside the new one",
        edits: &[Edit {
            file: "log/cleaner/swap.rs",
            from: "    if !others.is_empty() {\n",
            to: "    if !others.is_empty() && !crate::planted(\"old segments met beside the new one\") {\n",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "swap finished before its names are durable",
        edits: &[Edit {
            file: "log/leftovers.rs",
            from: "is durable, a power cut may take it back, and then the old segments are needed.\n        \
                   storage.sync_dir(Some(dir))?;",
            to: "is durable, a power cut may take it back, and then the old segments are needed.\n        \
                 if !crate::planted(\"swap finished before its names are durable\") {\n            \
                 storage.sync_dir(Some(dir))?;\n        }",
        }],
        found_by: "upkeep::an_open_that_finished_a_swap_removed_what_the_disk_still_needed",
    },
    Fault {
        name: "gaps not announced before the swap",
        edits: &[Edit {
            file: "broker/cleaning.rs",
            from: "        self.write_gaps(Some((log, offset)))\n",
            to: "        if crate::planted(\"gaps not announced before the swap\") {\n            \
                 log.expect_gaps_below(offset);\n            return Ok(());\n        }\n        \
                 self.write_gaps(Some((log, offset)))\n",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "cleaned what was not synced",
        edits: &[
            Edit {
                file: "log/cleaner/pass.rs",
                from: "        self.sync_to(request.what.end).map_err(Unclean::Failed)?;",
                to: "        if !crate::planted(\"cleaned what was not synced\") {\n            \
                     self.sync_to(request.what.end).map_err(Unclean::Failed)?;\n        }",
            },
            // Else the sync that a roll asks for always comes before the cleaner, by the clock.
            Edit {
                file: "log/roll.rs",
                from: "            self.sync_later();",
                to: "            if !crate::planted(\"cleaned what was not synced\") {\n                \
                     self.sync_later();\n            }",
            },
        ],
        found_by: SEQUENCES,
    },
];
