//! The states a power cut may leave.
//!
//! Two models together. *In order*: everything issued before the cut is there, the last write
//! perhaps in part. *Any order*: of every file what its last sync covered, plus any part of what
//! came later, in small pieces, each file for itself; its length may be ahead of its data, and
//! there are zeros then, or rubbish: what those blocks of the disk held before. Of the changes of
//! names since the last sync of their directory, any may be there or lost; a rename happens whole
//! or not at all, and what a lost directory holds is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::super::content::Content;
use super::image::{DataOp, FileImage, HashMemo, Id, Image, Op, mix};
use super::pending::Pending;

/// What arrives as a whole, from fine to coarse: less than any disk writes, so that the small files
/// of tests have borders inside their records; a sector; a page of the system's cache.
const UNITS: [u64; 3] = [64, SECTOR, 4096];
const SECTOR: u64 = 512;
/// More pieces of one file than this are cut more coarsely.
const PIECES_MAX: usize = 64;
/// Up to so many pieces, every subset is tried.
const SUBSET_BITS: usize = 6;
/// How many random subsets are tried of more.
const SUBSETS_SAMPLED: usize = 32;
/// At how many places a longer sequence is cut or has one thing missing.
const PLACES_MAX: usize = 64;
/// Writes up to this size are torn at every byte.
const TEAR_EVERYWHERE: usize = 64;
/// Where longer writes are torn besides sectors: inside and around the headers of a record batch.
const TEAR_AT: [usize; 10] = [1, 8, 11, 12, 16, 17, 21, 60, 61, 62];
/// How many draws may bring nothing new before sampling ends.
const IDLE_DRAWS_MAX: usize = 256;

/// A small, fast, repeatable source of choices.
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }
}

/// Collects distinct states up to a limit.
struct Found {
    limit: usize,
    seen: BTreeSet<u64>,
    memo: HashMemo,
    states: Vec<Image>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.states.len() >= self.limit
    }

    /// Says whether the state is new.
    fn add(&mut self, mut state: Image) -> bool {
        state.sweep();
        let new = !self.is_full() && self.seen.insert(state.hash(&mut self.memo));
        if new {
            self.states.push(state);
        }
        new
    }
}

/// At most `limit` distinct states that a power cut after `ops` may leave.
pub(super) fn states(base: &Image, ops: &[Op], limit: usize, seed: u64) -> Vec<Image> {
    let mut choice = Choice(mix(seed));
    let mut found =
        Found { limit, seen: BTreeSet::new(), memo: HashMemo::default(), states: Vec::new() };
    in_order(base, ops, &mut found);
    any_order(&Pending::after(base, ops), &mut found, &mut choice);
    found.states
}

fn in_order(base: &Image, ops: &[Op], found: &mut Found) {
    let mut whole = base.clone();
    let Some((last, before)) = ops.split_last() else {
        found.add(whole);
        return;
    };
    whole.replay(before);
    if let Op::Data { file, op: DataOp::Write(offset, bytes), at_millis } = last {
        for tear in tears(*offset, bytes.len()) {
            let mut torn = whole.clone();
            torn.write(*file, &DataOp::Write(*offset, bytes.slice(..tear)), *at_millis);
            found.add(torn);
        }
    }
    whole.replay(std::slice::from_ref(last));
    found.add(whole);
}

/// After how many of its bytes a write is torn; the whole write is not among them.
fn tears(offset: u64, len: usize) -> BTreeSet<usize> {
    if len <= TEAR_EVERYWHERE {
        return (1..len).collect();
    }
    let end = offset.saturating_add(len as u64);
    let sectors = (offset / SECTOR + 1..end.div_ceil(SECTOR)).map(|sector| sector * SECTOR);
    sectors
        .filter_map(|at| usize::try_from(at - offset).ok())
        .chain(TEAR_AT)
        .chain([len / 2, len - 1])
        .filter(|tear| (1..len).contains(tear))
        .collect()
}

fn any_order(pending: &Pending, found: &mut Found, choice: &mut Choice) {
    let mut names: Vec<Image> = Vec::new();
    for kept in subsets(pending.names.len(), choice) {
        let mut image = pending.durable.clone();
        for ((dir, op), _) in pending.names.iter().zip(kept).filter(|(_, kept)| *kept) {
            image.rename(*dir, op);
        }
        image.sweep();
        names.push(image);
    }
    let files: BTreeMap<Id, Vec<FileImage>> = pending
        .data
        .iter()
        .filter_map(|(id, ops)| {
            let durable = pending.durable.files.get(id)?;
            let ops: Vec<&DataOp> = ops.iter().map(|uncertain| &uncertain.op).collect();
            Some((*id, contents(durable, &ops, choice)))
        })
        .collect();

    let size = |image: &Image| {
        let of = |id| files.get(id).map_or(1, Vec::len);
        image.files.keys().map(of).fold(1usize, usize::saturating_mul)
    };
    let total = names.iter().map(size).fold(0usize, usize::saturating_add);
    if total <= found.limit.saturating_mul(2) {
        for image in &names {
            all_combinations(image, &files, found);
        }
        return;
    }
    // The corners first: of the names and of the contents everything or nothing.
    for image in names.first().into_iter().chain(names.last()) {
        for pick in [Pick::First, Pick::Last] {
            found.add(combine(image, &files, |_, variants| pick.of(variants)));
        }
    }
    // Then one thing at a time, or all by chance: a few draws must reach everything.
    let varied: Vec<(Id, &FileImage)> = files
        .iter()
        .flat_map(|(id, variants)| variants.iter().map(|variant| (*id, variant)))
        .collect();
    let mut idle = 0;
    while !found.is_full() && idle < IDLE_DRAWS_MAX {
        let image = match choice.below(4) {
            0 => names.first(),
            1 => names.last(),
            _ => names.get(choice.below(names.len())),
        };
        let Some(image) = image else { return };
        let others = match choice.below(3) {
            0 => Some(Pick::First),
            1 => Some(Pick::Last),
            _ => None,
        };
        let special = varied.get(choice.below(varied.len())).filter(|_| others.is_some());
        let state = combine(image, &files, |id, variants| match (special, others) {
            (Some((special, variant)), _) if *special == id => Some(*variant),
            (_, Some(pick)) => pick.of(variants),
            _ => variants.get(choice.below(variants.len())),
        });
        idle = if found.add(state) { 0 } else { idle + 1 };
    }
}

/// Which variant the other files take while one is varied.
#[derive(Clone, Copy)]
enum Pick {
    /// Everything arrived.
    First,
    /// Nothing did.
    Last,
}

impl Pick {
    fn of(self, variants: &[FileImage]) -> Option<&FileImage> {
        match self {
            Self::First => variants.first(),
            Self::Last => variants.last(),
        }
    }
}

/// The image with one variant of every file that has several.
fn combine<'a>(
    image: &Image,
    files: &'a BTreeMap<Id, Vec<FileImage>>,
    mut pick: impl FnMut(Id, &'a [FileImage]) -> Option<&'a FileImage>,
) -> Image {
    let mut state = image.clone();
    for (id, file) in &mut state.files {
        if let Some(variant) = files.get(id).and_then(|variants| pick(*id, variants)) {
            *file = variant.clone();
        }
    }
    state
}

fn all_combinations(image: &Image, files: &BTreeMap<Id, Vec<FileImage>>, found: &mut Found) {
    let several: Vec<(Id, usize)> = image
        .files
        .keys()
        .filter_map(|id| files.get(id).map(|variants| (*id, variants.len())))
        .collect();
    let mut digits: BTreeMap<Id, usize> = several.iter().map(|(id, _)| (*id, 0)).collect();
    loop {
        found.add(combine(image, files, |id, variants| variants.get(*digits.get(&id)?)));
        // Count up, one digit per file.
        let mut carried = true;
        for (id, count) in &several {
            let Some(digit) = digits.get_mut(id) else { continue };
            *digit += 1;
            carried = *digit == *count;
            if !carried {
                break;
            }
            *digit = 0;
        }
        if carried {
            return;
        }
    }
}

/// What a file may contain: everything that was written first, only what is durable last.
fn contents(durable: &FileImage, ops: &[&DataOp], choice: &mut Choice) -> Vec<FileImage> {
    let mut live = (*durable.content).clone();
    ops.iter().for_each(|op| op.apply(&mut live));
    let mut pieces = split(ops, UNITS[0]);
    for unit in &UNITS[1..] {
        if pieces.len() > PIECES_MAX {
            pieces = split(ops, *unit);
        }
    }
    let mut seen = BTreeSet::new();
    let mut memo = HashMemo::default();
    let mut variants = Vec::new();
    let mut add = |content: Content| {
        let file = FileImage { content: Arc::new(content), modified: durable.modified };
        if seen.insert(memo.of(&file.content)) {
            variants.push(file);
        }
    };
    add(live.clone());
    // The whole writes in order, then every mixture of pieces.
    let mut prefix = (*durable.content).clone();
    for op in ops {
        op.apply(&mut prefix);
        add(prefix.clone());
    }
    for kept in subsets(pieces.len(), choice) {
        let mut content = (*durable.content).clone();
        for (piece, _) in pieces.iter().zip(&kept).filter(|(_, kept)| **kept) {
            piece.apply(&mut content);
        }
        add(content.clone());
        // The length is written on its own and may have arrived when the data did not.
        if content.len() != live.len() && content.set_len(live.len()).is_ok() {
            add(content);
        }
        if kept.contains(&false) {
            add(with_rubbish(durable, &live, &pieces, &kept, choice));
        }
    }
    let last = memo.of(&durable.content);
    variants.retain(|variant| memo.of(&variant.content) != last);
    variants.push(durable.clone());
    variants
}

/// The file with all its length, where pieces that did not arrive lie over what the disk held
/// there before: another part of this file, as of one deleted, or no sense at all.
fn with_rubbish(
    durable: &FileImage,
    live: &Content,
    pieces: &[DataOp],
    kept: &[bool],
    choice: &mut Choice,
) -> Content {
    let mut content = (*durable.content).clone();
    for (piece, kept) in pieces.iter().zip(kept) {
        let DataOp::Write(at, bytes) = piece else {
            piece.apply(&mut content);
            continue;
        };
        if *kept {
            piece.apply(&mut content);
        } else if *at >= durable.content.len() {
            let from = choice.below(usize::try_from(live.len()).unwrap_or(usize::MAX)) as u64;
            let elsewhere = live.read(from, bytes.len());
            let rubbish = if elsewhere.len() == bytes.len() && choice.next() & 1 == 1 && from != *at
            {
                elsewhere
            } else {
                (0..bytes.len()).map(|_| choice.next().to_be_bytes()[0]).collect()
            };
            DataOp::Write(*at, rubbish).apply(&mut content);
        }
    }
    content
}

/// Cuts writes at multiples of `unit` in the file.
fn split(ops: &[&DataOp], unit: u64) -> Vec<DataOp> {
    let mut pieces = Vec::new();
    for op in ops {
        let DataOp::Write(offset, bytes) = op else {
            pieces.push((*op).clone());
            continue;
        };
        let (mut at, mut rest): (u64, Bytes) = (*offset, bytes.clone());
        while !rest.is_empty() {
            let room = usize::try_from(unit - at % unit).unwrap_or(usize::MAX);
            let piece = rest.split_to(room.min(rest.len()));
            let len = piece.len() as u64;
            pieces.push(DataOp::Write(at, piece));
            at = at.saturating_add(len);
        }
    }
    pieces
}

/// Choices of which of `count` things happened, beginning with all and ending with none: every
/// choice when they are few, else prefixes, suffixes, single ones, and random ones.
fn subsets(count: usize, choice: &mut Choice) -> Vec<Vec<bool>> {
    let mut chosen: Vec<Vec<bool>> = Vec::new();
    if count <= SUBSET_BITS {
        for bits in (0..1u32 << count).rev() {
            chosen.push((0..count).map(|bit| bits >> bit & 1 == 1).collect());
        }
        return chosen;
    }
    chosen.push(vec![true; count]);
    let step = count.div_ceil(PLACES_MAX);
    let places = (0..count).rev().step_by(step);
    for at in places.map(|at| at.saturating_sub(choice.below(step))) {
        chosen.push((0..count).map(|i| i < at).collect());
        chosen.push((0..count).map(|i| i != at).collect());
        chosen.push((0..count).map(|i| i == at).collect());
        chosen.push((0..count).map(|i| i > at).collect());
    }
    for _ in 0..SUBSETS_SAMPLED {
        chosen.push((0..count).map(|_| choice.next() & 1 == 1).collect());
    }
    chosen.push(vec![false; count]);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_choices_are_all_made() {
        let all = subsets(4, &mut Choice(0));
        assert_eq!(all.len(), 16);
        assert_eq!(all[0], [true; 4]);
        assert_eq!(all[15], [false; 4]);
        let many = subsets(20, &mut Choice(0));
        assert_eq!(many[0], [true; 20]);
        assert_eq!(many.last().unwrap(), &[false; 20]);
    }

    #[test]
    fn writes_are_torn_at_sectors_of_the_file() {
        assert_eq!(tears(0, 4), BTreeSet::from([1, 2, 3]));
        let torn = tears(500, 600);
        assert!(torn.contains(&12) && torn.contains(&524) && torn.contains(&599));
        assert!(!torn.contains(&0) && !torn.contains(&600));
        let pieces = split(&[&DataOp::Write(500, Bytes::from(vec![1; 600]))], SECTOR);
        assert_eq!(pieces.len(), 3);
    }
}
