#!/usr/bin/env python3
"""Decodes segments with kafka-python, somebody else's reader of Kafka's format.

    check_segments.py DIR...

Reads every DIR/<partition>/*.log: checksums, sizes, offsets, records, headers. Where there is a
DIR/expected.jsonl, what was decoded must be what it lists, partition by partition, in order:

    {"dir": "t-0", "offset": 7, "timestamp": 1700000000000, "key": null,
     "value": "djE=", "headers": [["h", "MQ=="], ["n", null]], "outcome": "committed"}

Keys and values are base64 or null; what became of a record's transaction need not be told. Exits 1 on any difference, and when there was nothing to read.
"""

import base64
import json
import sys
from collections import Counter
from pathlib import Path

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords

MESSAGES_MAX = 20
CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


class Findings:
    def __init__(self):
        self.count = 0

    def add(self, where, what):
        self.count += 1
        if self.count <= MESSAGES_MAX:
            print(f"{where}: {what}", file=sys.stderr)
        elif self.count == MESSAGES_MAX + 1:
            print("... and more", file=sys.stderr)


def text(data):
    return None if data is None else base64.b64encode(bytes(data)).decode("ascii")


def row(partition, record, outcome):
    return {
        "outcome": outcome,
        "dir": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": text(record.key),
        "value": text(record.value),
        "headers": [[name, text(value)] for name, value in record.headers],
    }


def read_batch(batch, where, findings, counts):
    """The records of one batch; None when it cannot be read."""
    if not isinstance(batch, DefaultRecordBatch) or batch.magic != 2:
        findings.add(where, "not a batch of magic 2")
        return None
    if not batch.validate_crc():
        findings.add(where, f"batch at offset {batch.base_offset}: the checksum does not match")
        return None
    records = list(batch)
    if len(records) != batch.records_count:
        findings.add(where, f"{len(records)} records in a batch that says {batch.records_count}")
    inside = range(batch.base_offset, batch.last_offset + 1)
    if any(record.offset not in inside for record in records):
        findings.add(where, f"a record outside its batch at offset {batch.base_offset}")
    stamps = [record.timestamp for record in records]
    # Compaction may take away the record with the largest timestamp; nothing may be above it.
    if stamps and max(stamps) > batch.max_timestamp:
        findings.add(where, f"a record later than its batch at offset {batch.base_offset} says")
    counts["batches"] += 1
    counts[CODECS.get(batch.compression_type, "unknown codec")] += 1
    return records


def read_partition(directory, findings, counts):
    rows = []
    # Those of open transactions, by producer.
    pending = {}
    next_offset = None
    for path in sorted(directory.glob("*.log")):
        data = path.read_bytes()
        counts["segments"] += 1
        base = int(path.stem)
        if next_offset is not None and base < next_offset:
            findings.add(path, f"begins at {base}, but the segment before ends at {next_offset}")
        next_offset = max(base, next_offset or base)
        batches = MemoryRecords(data)
        try:
            while batches.has_next():
                batch = batches.next_batch()
                if isinstance(batch, DefaultRecordBatch) and batch.base_offset < next_offset:
                    findings.add(path, f"offset {batch.base_offset} comes after {next_offset}")
                records = read_batch(batch, path, findings, counts)
                if records is None:
                    break
                next_offset = batch.last_offset + 1
                if batch.is_control_batch:
                    counts["control batches"] += 1
                    for record in records:
                        outcome = "aborted" if record.abort else "committed"
                        counts[outcome] += 1
                        for open_row in pending.pop(batch.producer_id, []):
                            open_row["outcome"] = outcome
                    continue
                offsets = [record.offset for record in records]
                if any(later <= earlier for earlier, later in zip(offsets, offsets[1:])):
                    findings.add(path, f"offsets do not ascend in the batch at {offsets[0]}")
                counts["records"] += len(records)
                outcome = "open" if batch.is_transactional else None
                new = [row(directory.name, record, outcome) for record in records]
                if batch.is_transactional:
                    pending.setdefault(batch.producer_id, []).extend(new)
                rows.extend(new)
            else:
                if batches.valid_bytes() != len(data):
                    findings.add(path, f"bytes after the last batch, at {batches.valid_bytes()}")
        except Exception as error:  # whatever the reader stumbles over is a finding
            findings.add(path, f"{type(error).__name__}: {error}")
    return rows


def read_expected(path):
    expected = {}
    for line in path.read_text(encoding="ascii").splitlines():
        wanted = json.loads(line)
        expected.setdefault(wanted["dir"], []).append(wanted)
    return expected


def compare(partition, decoded, wanted, findings):
    for got, want in zip(decoded, wanted):
        for field in ("offset", "timestamp", "key", "value", "headers", "outcome"):
            if field in want and got[field] != want[field]:
                where = f"{partition} at offset {want['offset']}"
                findings.add(where, f"{field} is {got[field]!r:.120}, not {want[field]!r:.120}")
    if len(decoded) != len(wanted):
        findings.add(partition, f"{len(decoded)} records, not {len(wanted)}")


def main(arguments):
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    findings, total, compared = Findings(), Counter(), 0
    for root in map(Path, arguments):
        counts = Counter()
        expected_path = root / "expected.jsonl"
        expected = read_expected(expected_path) if expected_path.exists() else None
        decoded = {}
        for directory in sorted({path.parent for path in root.glob("*/*.log")}):
            decoded[directory.name] = read_partition(directory, findings, counts)
        if counts["batches"] == 0:
            findings.add(root, "no batch was found")
        if expected is not None:
            for partition in sorted(expected.keys() | decoded.keys()):
                if partition not in expected and not decoded[partition]:
                    continue  # an empty partition needs no line
                wanted = expected.get(partition, [])
                compare(partition, decoded.get(partition, []), wanted, findings)
                compared += len(wanted)
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"{root.name}: {len(decoded)} partitions, {told or 'nothing'}")
        total += counts
    print(
        f"kafka-python decoded {total['records']} records in {total['batches']} batches;"
        f" {compared} compared with what was written; {findings.count} findings"
    )
    return 1 if findings.count else 0


sys.exit(main(sys.argv[1:]))
