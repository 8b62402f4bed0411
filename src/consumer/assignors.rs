//! The assignors a consumer knows, by Kafka's names.

use std::fmt;
use std::sync::Arc;

use crate::coordinator::assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol, RoundRobinAssignor,
    StickyAssignor,
};

/// An assignor and what it says of itself, asked once: it may be the user's code.
#[derive(Clone)]
pub(crate) struct Known {
    pub(super) name: Arc<str>,
    pub(super) protocol: RebalanceProtocol,
    pub(super) assignor: Arc<dyn Assignor>,
}

impl Known {
    fn new(assignor: Arc<dyn Assignor>) -> Self {
        Self { name: Arc::from(assignor.name()), protocol: assignor.protocol(), assignor }
    }
}

/// A consumer's assignors, the one it likes best first.
#[derive(Clone)]
pub(crate) struct Assignors {
    list: Arc<[Known]>,
    is_default: bool,
}

impl Default for Assignors {
    fn default() -> Self {
        let list: [Arc<dyn Assignor>; 2] =
            [Arc::new(RangeAssignor), Arc::new(CooperativeStickyAssignor)];
        Self { list: list.map(Known::new).into(), is_default: true }
    }
}

impl Assignors {
    /// Adds one after the others; the first takes the place of the default.
    pub(super) fn add(&mut self, assignor: Arc<dyn Assignor>) {
        let present: &[Known] = if self.is_default { &[] } else { &self.list };
        self.list = present.iter().cloned().chain([Known::new(assignor)]).collect();
        self.is_default = false;
    }

    /// A list of names, or of the names of Java's classes.
    pub(super) fn parse(names: &str) -> Option<Self> {
        let list: Option<Vec<Known>> =
            names.split(',').map(|name| by_name(name.trim()).map(Known::new)).collect();
        Some(Self { list: list?.into(), is_default: false })
    }

    pub(super) fn list(&self) -> &[Known] {
        &self.list
    }

    /// Whether only what moves is given back in a rebalance: every assignor has to allow it.
    pub(super) fn are_cooperative(&self) -> bool {
        self.list.iter().all(|known| known.protocol == RebalanceProtocol::Cooperative)
    }
}

fn by_name(name: &str) -> Option<Arc<dyn Assignor>> {
    let name = name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name);
    Some(match name {
        "range" | "RangeAssignor" => Arc::new(RangeAssignor),
        "roundrobin" | "RoundRobinAssignor" => Arc::new(RoundRobinAssignor),
        "sticky" | "StickyAssignor" => Arc::new(StickyAssignor),
        "cooperative-sticky" | "CooperativeStickyAssignor" => Arc::new(CooperativeStickyAssignor),
        _ => return None,
    })
}

impl fmt::Debug for Assignors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list.iter().map(|known| &known.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(assignors: &Assignors) -> String {
        format!("{assignors:?}")
    }

    #[test]
    fn the_first_that_is_added_takes_the_place_of_the_default() {
        let mut assignors = Assignors::default();
        assert_eq!(names(&assignors), r#"["range", "cooperative-sticky"]"#);
        assignors.add(Arc::new(StickyAssignor));
        assignors.add(Arc::new(RangeAssignor));
        assert_eq!(names(&assignors), r#"["sticky", "range"]"#);
    }

    #[test]
    fn names_are_kafkas_and_javas() {
        let java = "org.apache.kafka.clients.consumer.";
        let list = format!("roundrobin, {java}CooperativeStickyAssignor");
        let parsed = Assignors::parse(&list).unwrap();
        assert_eq!(names(&parsed), r#"["roundrobin", "cooperative-sticky"]"#);
        assert!(Assignors::parse("range,").is_none());
        assert!(Assignors::parse("uniform").is_none());
    }
}
