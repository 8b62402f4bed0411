//! A consumer as a stream, with the combinators of others.

use std::time::Duration;

use crate::runtimes::{Smol, Tokio};
use crate::{brokers, number, reader, send};
use logreel::ErrorKind;
use smol::future::poll_once;
use smol::stream::StreamExt;

/// Streams are made and dropped as one likes; each goes on where the last one was.
#[test]
fn one_stream_goes_on_where_another_ended() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = reader(&broker);
            let producer = broker.producer().build().unwrap();
            let sender = runtime.spawn(async move {
                for number in 0..300 {
                    send(&producer, number).await.unwrap();
                }
            });
            let got: Vec<i64> = runtime.run(async move {
                let mut got = Vec::new();
                while got.len() < 300 {
                    let part = consumer.stream().take(7.min(300 - got.len()));
                    let part: Vec<_> = part.map(|record| number(&record.unwrap())).collect().await;
                    got.extend(part);
                    // Between them one that is dropped while it waits, or with what it got.
                    let mut next = consumer.stream();
                    let next = runtime.timeout(Duration::ZERO, next.next()).await.flatten();
                    got.extend(next.map(|record| number(&record.unwrap())));
                }
                sender.await;
                got
            });
            assert_eq!(got, (0..300).collect::<Vec<_>>());
        }
    }
}

#[test]
fn an_error_is_the_last_item() {
    for runtime in [Tokio, Smol] {
        for (broker, _dir) in brokers() {
            let consumer = reader(&broker);
            send(&broker.producer().build().unwrap(), 0).wait().unwrap();
            let stop = consumer.wakeup_handle();
            let items = runtime.run(async move {
                let mut stream = consumer.stream();
                let first = stream.next().await;
                stop.wakeup();
                let items = [first, stream.next().await, stream.next().await];
                // Another one is not over.
                drop(stream);
                (items, poll_once(consumer.stream().next()).await.is_none())
            });
            let ([Some(Ok(record)), Some(Err(error)), None], true) = items else {
                panic!("{items:?}")
            };
            assert_eq!((record.offset, error.kind()), (0, ErrorKind::Wakeup));
        }
    }
}
