//! Events and spans for the crate `tracing`, with the feature of that name; without it they expand
//! to nothing that runs.
//!
//! A subscriber is the user's code: none is called while a lock of ours is held. Where one is, a
//! [`Hold`] made before it keeps the thread's events back until after it. Fields have Kafka's
//! nouns. Nothing of a record is told, and nothing for each record.

#[cfg(feature = "tracing")]
pub(crate) use on::{Entered, Hold, Own, emit, hold, is_wanted};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Entered, Hold, hold};

/// An event: its level, its message, and fields. The values are looked at only if somebody may
/// listen.
#[cfg(feature = "tracing")]
macro_rules! event {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {
        if $crate::trace::is_wanted(tracing::Level::$level) {
            $(let $field = $crate::trace::Own::own($value);)*
            $crate::trace::emit(move || {
                tracing::event!(tracing::Level::$level, $($field = $field,)* $message);
            });
        }
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! event {
    ($level:ident, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {
        if false {
            $(let _ = $value;)*
        }
    };
}

/// A span that is entered until the value goes. The caller holds no lock at either end.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)* $(,)?) => {
        $crate::trace::Entered::new(|| {
            tracing::span!(tracing::Level::INFO, $name $(, $field = $value)*).entered()
        })
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($name:literal $(, $field:ident = $value:expr)* $(,)?) => {{
        if false {
            $(let _ = $value;)*
        }
        $crate::trace::Entered
    }};
}

pub(crate) use {event, span};

#[cfg(feature = "tracing")]
mod on {
    use std::any::Any;
    use std::cell::{Cell, RefCell};
    use std::marker::PhantomData;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tracing::level_filters::LevelFilter;
    use tracing::span::EnteredSpan;

    use crate::error::Error;

    type Event = Box<dyn FnOnce()>;

    thread_local! {
        /// How many [`Hold`]s this thread has, and what waits for the last of them to go.
        static HOLDS: Cell<usize> = const { Cell::new(0) };
        static HELD: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
    }

    /// Whether some subscriber may want events of this level. Asks none: a lock may be held.
    pub(crate) fn is_wanted(level: tracing::Level) -> bool {
        level <= LevelFilter::current()
    }

    /// Emits an event, as soon as that is allowed.
    pub(crate) fn emit(event: impl FnOnce() + 'static) {
        if HOLDS.get() > 0 {
            // A thread that ends has nobody to tell.
            let _ = HELD.try_with(|held| held.borrow_mut().push(Box::new(event)));
        } else {
            contain(event);
        }
    }

    /// A subscriber that panics hurts nobody else.
    fn contain(subscriber: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(subscriber)) {
            let drop_it = |panic: Box<dyn Any + Send>| drop(panic);
            let _ = catch_unwind(AssertUnwindSafe(|| drop_it(panic)));
        }
    }

    /// While it lives the events of this thread are kept back. Made before a lock is taken, so that
    /// it goes after the lock, and emits them then.
    #[derive(Debug)]
    pub(crate) struct Hold(PhantomData<*const ()>);

    pub(crate) fn hold() -> Hold {
        HOLDS.set(HOLDS.get() + 1);
        Hold(PhantomData)
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            HOLDS.set(HOLDS.get().saturating_sub(1));
            if HOLDS.get() == 0 {
                for event in HELD.try_with(RefCell::take).unwrap_or_default() {
                    contain(event);
                }
            }
        }
    }

    /// A span that is entered.
    #[derive(Debug)]
    pub(crate) struct Entered(Option<EnteredSpan>);

    impl Entered {
        pub(crate) fn new(enter: impl FnOnce() -> EnteredSpan) -> Self {
            let mut entered = None;
            contain(|| entered = Some(enter()));
            Self(entered)
        }
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            contain(|| drop(self.0.take()));
        }
    }

    /// A value that can wait until its event may be emitted.
    pub(crate) trait Own {
        type Owned: tracing::Value + 'static;
        fn own(self) -> Self::Owned;
    }

    macro_rules! own {
        ($($from:ty => $to:ty, |$value:ident| $own:expr;)+) => {
            $(impl Own for $from {
                type Owned = $to;
                fn own(self) -> $to {
                    let $value = self;
                    $own
                }
            })+
        };
    }

    own! {
        &str => String, |value| value.to_owned();
        String => String, |value| value;
        &Error => String, |error| error.to_string();
        i64 => i64, |value| value;
        i32 => i64, |value| i64::from(value);
        u64 => u64, |value| value;
        usize => u64, |value| value as u64;
        f64 => f64, |value| value;
        bool => bool, |value| value;
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    /// Keeps nothing back.
    #[derive(Debug)]
    pub(crate) struct Hold;

    pub(crate) fn hold() -> Hold {
        Hold
    }

    /// No span.
    #[derive(Debug)]
    pub(crate) struct Entered;
}
