//! Keys of Kafka's clients that are about a network or a wire format. A configuration written for a
//! real cluster must load as it is, so they are accepted and do nothing.

/// Whether a client's key means nothing in one process.
pub(crate) fn is_network_key(key: &str) -> bool {
    const KEYS: [&str; 12] = [
        "auto.include.jmx.reporter",
        "bootstrap.servers",
        "client.dns.lookup",
        "client.id",
        "client.rack",
        "connections.max.idle.ms",
        "enable.metrics.push",
        "key.serializer",
        "partitioner.availability.timeout.ms",
        "receive.buffer.bytes",
        "send.buffer.bytes",
        "value.serializer",
    ];
    const FAMILIES: [&str; 7] =
        ["metadata.", "metric", "reconnect.", "sasl.", "security.", "socket.", "ssl."];
    KEYS.contains(&key) || FAMILIES.iter().any(|family| key.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_network_is_told_from_what_is_not() {
        for key in ["bootstrap.servers", "ssl.keystore.location", "sasl.mechanism", "metrics.num"] {
            assert!(is_network_key(key), "{key}");
        }
        for key in ["linger.ms", "lingerms", "acks", "", "bootstrap"] {
            assert!(!is_network_key(key), "{key}");
        }
    }
}
