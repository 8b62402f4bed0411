//! The faults: what is changed in the source, and which test must find it.

use crate::copy::{Edit, Fault};

const APPENDS: &str = "appends_and_rolls_at_every_acks_level";
const CLOSES: &str = "clean_closes_and_reopens";
const COMMITS: &str = "group_commits";
const TOPICS: &str = "topics_made_deleted_and_made_anew";
const SEQUENCES: &str = "sequences::short_and_long_sequences_of_steps";
const COMPACTION: &str = "upkeep::a_crash_while_a_log_is_compacted";
const RETENTION: &str = "upkeep::a_crash_while_the_beginning_of_a_log_goes";
const DELETION: &str = "deletions::a_crash_leaves_the_commits_of_a_deleted_topic";
const TRANSACTIONS: &str = "transactions::transactions_are_all_or_nothing_wherever_the_power_goes";
const FAILED_SYNC: &str = "faults::a_failed_sync_stops_the_partition_and_is_never_retried";

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "acknowledged before it is synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"segment.file().sync()
        });",
            to: r"if PLANTED {
                return Ok(());
            }
            segment.file().sync()
        });",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "directory of a new segment not synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"Ok(()) if dir =>",
            to: r"Ok(()) if dir && !PLANTED =>",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "only the active segment synced",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"let outcome = segments.iter().skip(first)",
            to: r"let first = if PLANTED {
            segments.len().saturating_sub(1)
        } else {
            first
        };
        let outcome = segments.iter().skip(first)",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "sync tried again after it failed",
        edits: &[
            Edit {
                file: "log/partition.rs",
                from: r"self.stop(Halt::Poisoned(error.clone()));
                Err(self.storage_error(error))",
                to: r"if !PLANTED {
                    self.stop(Halt::Poisoned(error.clone()));
                }
                Err(self.storage_error(error))",
            },
            Edit {
                file: "log/sync.rs",
                from: r"state.failed = Some(error.clone());",
                to: r"if !PLANTED {
                        state.failed = Some(error.clone());
                    }",
            },
        ],
        found_by: FAILED_SYNC,
    },
    Fault {
        name: "checksums not verified at open",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: r"Demand { crc: true, ..segment.demand() }",
            to: r"Demand { crc: !PLANTED, ..segment.demand() }",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "tail not written again at open",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: r"self.rewrite(first)",
            to: r"if PLANTED {
            return Ok(());
        }
        self.rewrite(first)",
        }],
        found_by: SEQUENCES,
    },
    Fault {
        name: "tail written again but not synced",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: r"segment.file().sync()?;
            wrote = true;",
            to: r"if PLANTED {
                continue;
            }
            segment.file().sync()?;
            wrote = true;",
        }],
        found_by: APPENDS,
    },
    Fault {
        name: "recovery point ahead of the sync",
        edits: &[Edit {
            file: "broker/checkpoints.rs",
            from: r"recovery_point: log.recovery_point() };",
            to: r"recovery_point: if PLANTED {
                        log.end_offset()
                    } else {
                        log.recovery_point()
                    } };",
        }],
        found_by: SEQUENCES,
    },
    Fault {
        name: "marker written before the data is synced",
        edits: &[Edit {
            file: "broker/shared.rs",
            from: r"let mut outcome = Ok(());
        let mut sound = true;
        for log in self.logs() {",
            to: r"let mut outcome = Ok(());
        let mut sound = true;
        if PLANTED {
            self.write_marker()?;
        }
        for log in self.logs() {",
        }],
        found_by: CLOSES,
    },
    Fault {
        name: "marker left standing by an open",
        edits: &[Edit {
            file: "broker/open.rs",
            from: r"if marked || listed {
            storage.sync_dir(None)?;",
            to: r#"if PLANTED {
            checkpoint::replace(&storage, None, CLEAN_MARKER, "")?;
        }
        if marked || listed {
            storage.sync_dir(None)?;"#,
        }],
        found_by: CLOSES,
    },
    Fault {
        // Where a marker of ours without its manifest was believed: else it changes nothing.
        name: "removal of the marker not synced",
        edits: &[
            Edit {
                file: "broker/open.rs",
                from: r"if marked || listed {",
                to: r"if (marked || listed) && !PLANTED {",
            },
            Edit {
                file: "broker/found.rs",
                from: r"let text = storage.read_all(&path, CLEAN_MARKER_TEXT.len())?;",
                to: r"if PLANTED {
        return Ok(false);
    }
    let text = storage.read_all(&path, CLEAN_MARKER_TEXT.len())?;",
            },
        ],
        found_by: CLOSES,
    },
    Fault {
        name: "file replaced before its content is synced",
        edits: &[Edit {
            file: "storage/files.rs",
            from: r"file.write_all_at(0, content)?;
        file.sync()?;
        drop(file);",
            to: r"file.write_all_at(0, content)?;
        if !PLANTED {
            file.sync()?;
        }
        drop(file);",
        }],
        found_by: TOPICS,
    },
    Fault {
        name: "file replaced and its directory not synced",
        edits: &[Edit {
            file: "storage/files.rs",
            from: r"self.rename(path.dir.as_ref(), &at.name, &path.name)?;",
            to: r"self.rename(path.dir.as_ref(), &at.name, &path.name)?;
        if PLANTED {
            return Ok(());
        }",
        }],
        found_by: TOPICS,
    },
    Fault {
        name: "commit before the records below it are synced",
        edits: &[Edit {
            file: "broker/offsets.rs",
            from: r"for ((_, position), log) in offsets.iter().zip(logs) {",
            to: r"for ((_, position), log) in offsets.iter().zip(logs) {
        if PLANTED {
            continue;
        }",
        }],
        found_by: COMMITS,
    },
    Fault {
        name: "topic forgotten before its commits are",
        edits: &[Edit {
            file: "broker/topics.rs",
            from: r"self.forget_commits(name)?;
        changed.topics.remove(name);
        changed.store(storage)?;",
            to: r"if !PLANTED {
            self.forget_commits(name)?;
        }
        changed.topics.remove(name);
        changed.store(storage)?;
        self.forget_commits(name)?;",
        }],
        found_by: DELETION,
    },
    Fault {
        name: "log start not stored before it is promised",
        edits: &[Edit {
            file: "broker/retaining.rs",
            from: r"let outcome = self.store_log_starts(std::slice::from_ref(log));",
            to: r"let outcome = if PLANTED {
            Ok(())
        } else {
            self.store_log_starts(std::slice::from_ref(log))
        };",
        }],
        found_by: RETENTION,
    },
    Fault {
        name: "compacted segment not synced before the swap",
        edits: &[Edit {
            file: "log/cleaner/output.rs",
            from: r"file.sync()?;
        let digest = self",
            to: r"if !PLANTED {
            file.sync()?;
        }
        let digest = self",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "swap begun before its names are durable",
        edits: &[Edit {
            file: "log/cleaner/swap.rs",
            from: r"&suffixed(kind, base, SWAP_SUFFIX))?;
    }",
            to: r"&suffixed(kind, base, SWAP_SUFFIX))?;
    }
    if PLANTED {
        return Ok(());
    }",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "old segments met beside the new one",
        edits: &[Edit {
            file: "log/cleaner/swap.rs",
            from: r"must be met beside the new one.
    storage.sync_dir(Some(&log.dir))?;",
            to: r"must be met beside the new one.
    if !PLANTED {
        storage.sync_dir(Some(&log.dir))?;
    }",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "swap finished before its names are durable",
        edits: &[Edit {
            file: "log/leftovers.rs",
            from: r"not the new one's digest.
    storage.sync_dir(Some(dir))?;",
            to: r"not the new one's digest.
    if !PLANTED {
        storage.sync_dir(Some(dir))?;
    }",
        }],
        found_by: "upkeep::an_open_that_finished_a_swap_removed_what_the_disk_still_needed",
    },
    Fault {
        name: "gaps not announced before the swap",
        edits: &[Edit {
            file: "broker/cleaning.rs",
            from: r"self.write_gaps(Some((log, offset)))",
            to: r"if PLANTED {
            log.expect_gaps_below(offset);
            return Ok(());
        }
        self.write_gaps(Some((log, offset)))",
        }],
        found_by: COMPACTION,
    },
    Fault {
        name: "cleaned what was not synced",
        edits: &[
            Edit {
                file: "log/cleaner/pass.rs",
                from: r"self.sync_to(request.what.end).map_err(Unclean::Failed)?;",
                to: r"if !PLANTED {
            self.sync_to(request.what.end).map_err(Unclean::Failed)?;
        }",
            },
            Edit {
                file: "log/roll.rs",
                from: r"self.sync_later();",
                to: r"if !PLANTED {
                self.sync_later();
            }",
            },
        ],
        found_by: SEQUENCES,
    },
    Fault {
        // Under a marker that is believed without its manifest, as Kafka's is.
        name: "zeros cut off at a close and not synced",
        edits: &[
            Edit {
                file: "log/roll.rs",
                from: r"if writer.ahead.has_cut() {",
                to: r"if writer.ahead.has_cut() && !PLANTED {",
            },
            Edit {
                file: "broker/found.rs",
                from: r"Ok(matches!(text, Some(Ok(text)) if text == CLEAN_MARKER_TEXT.as_bytes()))",
                to: r"let ours = CLEAN_MARKER_TEXT.as_bytes();
    Ok(!PLANTED && matches!(text, Some(Ok(text)) if text == ours))",
            },
        ],
        found_by: "ahead::zeros_are_cut_off_by_each_close",
    },
    Fault {
        name: "zeros below the recovery point taken for the end",
        edits: &[Edit {
            file: "log/recovery.rs",
            from: r"if self.is_torn(segment, &bad)? &&",
            to: r"if (PLANTED || self.is_torn(segment, &bad)?) &&",
        }],
        found_by: "ahead::zeros_in_the_place_of_acknowledged_records_are_damage",
    },
    Fault {
        name: "zeros cut off by a roll and in no sync",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"s.base_offset < synced).saturating_sub(1);",
            to: r"s.base_offset < synced || (PLANTED && s.base_offset == synced))
            .saturating_sub(1);",
        }],
        found_by: "ahead::sequences_of_steps_over_zeros",
    },
    Fault {
        name: "closed with a segment that is not in its directory",
        edits: &[Edit {
            file: "log/partition.rs",
            from: r"if self.sync.take_dir_mark() {",
            to: r"if self.sync.take_dir_mark() && !PLANTED {",
        }],
        found_by: "faults::a_segment_whose_first_append_failed_was_not_in_its_directory",
    },
    Fault {
        name: "committed before the records are synced",
        edits: &[Edit {
            file: "broker/transacting.rs",
            from: r"if outcome == Outcome::Commit && meta.is_ongoing() {",
            to: r"if outcome == Outcome::Commit && meta.is_ongoing() && !PLANTED {",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "markers before the decision is durable",
        edits: &[
            Edit {
                file: "broker/transacting.rs",
                from: r"decided.map_or(Ok(()), |(_, written)| written.sync())",
                to: r"decided.filter(|_| !PLANTED).map_or(Ok(()), |(_, written)| written.sync())",
            },
            Edit {
                file: "broker/transacting.rs",
                from: r"let durable = log.sync_to(log.end_offset());",
                to: r"let durable = if PLANTED { Ok(()) } else { log.sync_to(log.end_offset()) };",
            },
        ],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "complete before the markers are durable",
        edits: &[Edit {
            file: "broker/transacting.rs",
            from: r"for (log, end) in marked {",
            to: r"for (log, end) in marked.into_iter().filter(|_| !PLANTED) {",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "a decision that no open finishes",
        edits: &[Edit {
            file: "broker/transactions_open.rs",
            from: r"for id in self.prepared_transactions() {",
            to: r"for id in self.prepared_transactions().into_iter().filter(|_| !PLANTED) {",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "an open transaction whose record was lost is nobody's",
        edits: &[Edit {
            file: "broker/transactions_open.rs",
            from: r"if let Some(id) = producers.get(&producer) {",
            to: r"if let Some(id) = producers.get(&producer).filter(|_| !PLANTED) {",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "an epoch that is given twice",
        edits: &[Edit {
            file: "broker/transacting.rs",
            from: r"        written.sync()?;",
            to: r"        if !PLANTED {
            written.sync()?;
        }",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "a marker that ends the transaction after its own",
        edits: &[Edit {
            file: "log/marker.rs",
            from: r"|| is_later(producers, &marker)",
            to: r"|| (is_later(producers, &marker) && !PLANTED)",
        }],
        found_by: TRANSACTIONS,
    },
    Fault {
        name: "a marker of a clean close without what it vouches for",
        edits: &[Edit {
            file: "broker/found.rs",
            from: r"None if found.clean && is_ours(storage)? =>",
            to: r"None if found.clean && !PLANTED && is_ours(storage)? =>",
        }],
        found_by: TRANSACTIONS,
    },
];
