//! An event bus: one part of a program publishes what happened, others react, and none of them
//! knows the others. Unlike on a channel nothing is lost: an event that a handler failed on comes
//! again, and so do those that it had not seen when the program ended.
//!
//! ```text
//! cargo run --release --example event_bus
//! ```
//!
//! A bus is a topic for each type of event, a group for each subscriber, and a commit for each
//! event that was handled; `Bus` and `Subscription` are all it takes.
#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use logreel::typed::{Json, Raw};
use logreel::{Broker, Consumer, OffsetReset, Producer, Typed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn Error>>;

/// Something that happened, and where it is told.
trait Event: Serialize + DeserializeOwned {
    const TOPIC: &'static str;
}

struct Bus {
    broker: Broker,
    producer: Producer,
}

impl Bus {
    fn open(dir: &Path) -> logreel::Result<Self> {
        let broker = Broker::open(dir)?;
        Ok(Self { producer: broker.producer().build()?, broker })
    }

    /// Returns when the event is on the disk.
    fn publish<E: Event>(&self, event: &E) -> logreel::Result<()> {
        self.producer.typed(E::TOPIC, Raw, Json::new()).send_value(event).wait().map(drop)
    }

    /// Every subscriber sees every event, from the first one on, in its own time.
    fn subscribe<E: Event>(&self, subscriber: &str) -> logreel::Result<Subscription<E>> {
        let settings = self.broker.consumer().group_id(subscriber).enable_auto_commit(false);
        let consumer = settings.auto_offset_reset(OffsetReset::Earliest).build()?;
        consumer.subscribe([E::TOPIC])?;
        Ok(Subscription { consumer, types: Typed { key: Raw, value: Json::new() } })
    }
}

struct Subscription<E: Event> {
    consumer: Consumer,
    types: Typed<Raw, Json<E>>,
}

impl<E: Event> Subscription<E> {
    /// Handles what there is; answers how many events that were. One that fails, and those behind
    /// it, come again the next time: at least once, so handlers must bear a repetition.
    fn handle(&self, mut handler: impl FnMut(E) -> Outcome) -> Result<usize, Box<dyn Error>> {
        let mut handled = 0;
        for record in self.consumer.iter().until_idle(Duration::ZERO) {
            let record = record?;
            let event = self.types.read(&record)?.1;
            if let Err(error) = event.map_or(Ok(()), &mut handler) {
                self.consumer.seek(record.topic_partition(), record.offset)?;
                return Err(error);
            }
            self.consumer.commit_record(&record)?;
            handled += 1;
        }
        Ok(handled)
    }
}

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order: u32,
    cents: u64,
}

impl Event for OrderPlaced {
    const TOPIC: &'static str = "order-placed";
}

fn main() -> Outcome {
    let dir = tempfile::tempdir()?;
    let bus = Bus::open(dir.path())?;
    let (billing, mailing) = (bus.subscribe("billing")?, bus.subscribe("mailing")?);
    for order in 1..=3 {
        bus.publish(&OrderPlaced { order, cents: 1000 })?;
    }
    let mut billed = 0;
    billing.handle(|event: OrderPlaced| {
        billed += event.cents;
        Ok(())
    })?;
    println!("billing saw every order: {billed} cents");
    assert_eq!(billed, 3000);

    let (mut mailed, mut fails) = (HashSet::new(), true);
    let mut mail = |event: OrderPlaced| {
        if event.order == 2 && std::mem::take(&mut fails) {
            return Err("the mail server is down".into());
        }
        assert!(mailed.insert(event.order), "nothing is mailed twice");
        Ok(())
    };
    assert!(mailing.handle(&mut mail).is_err());
    let again = mailing.handle(&mut mail)?;
    println!("mailing failed on order 2, then got it again: {again} events");
    assert_eq!((again, mailed.len()), (2, 3));

    bus.publish(&OrderPlaced { order: 4, cents: 500 })?;
    drop((billing, mailing, bus));
    let bus = Bus::open(dir.path())?;
    for subscriber in ["billing", "mailing"] {
        let mut orders = Vec::new();
        bus.subscribe(subscriber)?.handle(|event: OrderPlaced| {
            orders.push(event.order);
            Ok(())
        })?;
        println!("after a restart {subscriber} got the orders {orders:?}");
        assert_eq!(orders, [4], "what was handled does not come again, what was not does");
    }
    Ok(())
}
