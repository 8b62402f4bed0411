//! Where the records of one call were placed.

use super::metadata::RecordMetadata;

/// Records that came one after the other and were placed one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    first: RecordMetadata,
    /// How many records there are in this run and those before it.
    end: usize,
}

/// Where the records of one [`send_batch`](crate::Producer::send_batch) were placed: a
/// [`RecordMetadata`] for each, in the order in which the records were given.
///
/// Records that were placed one after the other, with the same timestamp, take one entry: a
/// thousand cost as much as one. [`iter`](Self::iter) and [`get`](Self::get) make the metadata of a
/// record when it is asked for.
///
/// ```
/// use logreel::{Broker, ProducerRecord};
/// let producer = Broker::in_memory().producer().build()?;
/// let record = |i: i32| ProducerRecord::to("t").value(i.to_string());
/// let placed = producer.send_batch((0..100).map(record)).wait()?;
/// assert_eq!(placed.len(), 100);
/// assert_eq!(placed.get(42).map(|record| record.offset()), Some(Some(42)));
/// assert!(placed.get(100).is_none());
/// let offsets: Vec<_> = placed.iter().filter_map(|record| record.offset()).collect();
/// assert_eq!(offsets, (0..100).collect::<Vec<_>>());
/// for (i, record) in (0..).zip(&placed) {
///     assert_eq!(record.offset(), Some(i));
/// }
/// assert!(producer.send_batch([]).wait()?.is_empty());
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchMetadata {
    runs: Vec<Run>,
}

impl BatchMetadata {
    /// Adds so many records that follow each other, where the first is.
    pub(super) fn push(&mut self, first: RecordMetadata, records: usize) {
        let end = self.len() + records;
        let begin = self.runs.iter().rev().nth(1).map_or(0, |run| run.end);
        match self.runs.last_mut() {
            // One run as long as can be, so that what is the same compares equal.
            Some(last) if last.first.record(last.end - begin) == first => last.end = end,
            _ => self.runs.push(Run { first, end }),
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Whether no record was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Where the record was placed that was given as the `index`th, from 0; `None` past the last.
    /// Looks through the runs by halves.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<RecordMetadata> {
        self.at(self.runs.partition_point(|run| run.end <= index), index)
    }

    /// One record after the other.
    #[must_use]
    pub fn iter(&self) -> BatchMetadataIter<'_> {
        BatchMetadataIter { of: self, run: 0, index: 0 }
    }

    /// The record of that index, which is in that run.
    fn at(&self, run: usize, index: usize) -> Option<RecordMetadata> {
        let begins = run.checked_sub(1).and_then(|before| self.runs.get(before));
        let place = index - begins.map_or(0, |run| run.end);
        self.runs.get(run).map(|run| run.first.record(place))
    }
}

impl<'a> IntoIterator for &'a BatchMetadata {
    type Item = RecordMetadata;
    type IntoIter = BatchMetadataIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The records of a [`BatchMetadata`], one after the other.
///
/// ```
/// use logreel::producer::BatchMetadataIter;
/// use logreel::{BatchMetadata, Broker, ProducerRecord};
/// let producer = Broker::in_memory().producer().build()?;
/// let placed: BatchMetadata = producer.send_batch([ProducerRecord::to("t").value("v")]).wait()?;
/// let mut records: BatchMetadataIter<'_> = placed.iter();
/// assert_eq!(records.len(), 1);
/// assert_eq!(records.next().map(|record| record.partition()), Some(0));
/// assert_eq!(records.next(), None);
/// # Ok::<(), logreel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchMetadataIter<'a> {
    of: &'a BatchMetadata,
    /// That of the next record.
    run: usize,
    index: usize,
}

impl Iterator for BatchMetadataIter<'_> {
    type Item = RecordMetadata;

    fn next(&mut self) -> Option<RecordMetadata> {
        let record = self.of.at(self.run, self.index)?;
        self.index += 1;
        if self.of.runs.get(self.run).is_some_and(|run| run.end <= self.index) {
            self.run += 1;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.of.len() - self.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchMetadataIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_runs_are_found_at_their_places() {
        let first = |topic: &str, partition, offset, timestamp| RecordMetadata {
            topic_partition: (topic, partition).into(),
            offset,
            timestamp,
        };
        let mut all = BatchMetadata::default();
        assert_eq!((all.len(), all.get(0), all.iter().next()), (0, None, None));
        all.push(first("a", 0, Some(10), 7), 2);
        all.push(first("b", 3, None, 8), 1);
        all.push(first("a", 0, Some(5), 9), 3);
        let told = |record: RecordMetadata| {
            (record.topic_partition().to_string(), record.offset(), record.timestamp())
        };
        let expected = [
            ("a-0", Some(10), 7),
            ("a-0", Some(11), 7),
            ("b-3", None, 8),
            ("a-0", Some(5), 9),
            ("a-0", Some(6), 9),
            ("a-0", Some(7), 9),
        ]
        .map(|(tp, offset, time)| (tp.to_owned(), offset, time));
        assert_eq!(all.iter().map(told).collect::<Vec<_>>(), expected);
        let got: Vec<_> = (0..).map_while(|index| all.get(index)).map(told).collect();
        assert_eq!((got, all.get(usize::MAX)), (expected.to_vec(), None));
        let mut parts = BatchMetadata::default();
        parts.push(first("a", 0, Some(10), 7), 1);
        parts.push(first("a", 0, Some(11), 7), 1);
        parts.push(first("b", 3, None, 8), 1);
        parts.push(first("a", 0, Some(5), 9), 2);
        assert_ne!(parts, all);
        parts.push(first("a", 0, Some(7), 9), 1);
        assert_eq!(parts, all, "it does not matter how they came");
        parts.push(first("a", 0, Some(8), 10), 1);
        assert_eq!((parts.runs.len(), parts.len()), (4, 7), "another timestamp");
        let mut left = all.iter();
        for remaining in (0..6).rev() {
            left.next();
            assert_eq!(left.len(), remaining);
        }
        assert_eq!((left.next(), left.next(), left.len()), (None, None, 0));
    }
}
