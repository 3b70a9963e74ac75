"""What the sample documents speak of: the systems of a company that does not exist."""

from typing import Final

SERVICES: Final = (
    *("checkout", "ledger", "catalogue", "pricing", "inventory", "shipping", "returns", "invoicing"),
    *("identity", "sessions", "notifications", "webhooks", "search", "recommendations", "reviews"),
    *("media", "thumbnails", "exports", "imports", "reporting", "scheduler", "feature-flags"),
    *("rate-limiter", "edge-proxy", "geo-lookup", "tax-engine", "fraud-scoring", "loyalty", "coupons"),
    *("warehouse-sync", "label-printer", "carrier-gateway", "payouts", "disputes", "audit-trail"),
)

TEAMS: Final = (
    *("Payments", "Storefront", "Fulfilment", "Identity", "Data Platform", "Edge", "Trust and Safety"),
    *("Growth", "Finance Systems", "Developer Experience", "Site Reliability", "Support Tooling"),
)

PEOPLE: Final = (
    *("Amara Okafor", "Jonas Lindqvist", "Priya Raman", "Mateo Alvarez", "Ingrid Bakke", "Yusuf Demir"),
    *("Hana Sato", "Claire Dubois", "Tomasz Nowak", "Leila Haddad", "Owen Griffiths", "Sofia Marino"),
)

REGIONS: Final = ("Frankfurt", "Dublin", "Singapore", "Oregon", "São Paulo", "Mumbai", "Sydney")

STORES: Final = (
    *("a PostgreSQL primary with two replicas", "a Redis cluster of six shards", "a Kafka topic"),
    *("an object store bucket", "a SQLite file on a volume", "an Elasticsearch index", "a RabbitMQ queue"),
)

SYMPTOMS: Final = (
    ("high latency", "the 99th percentile of its answers is above two seconds"),
    ("connection pool exhausted", "requests wait for a connection until they time out"),
    ("disk nearly full", "less than a tenth of the volume is free"),
    ("replication lag", "replicas are more than a minute behind the primary"),
    ("certificate expiring", "its certificate ends within a week and was not renewed"),
    ("consumer falling behind", "messages are older than five minutes when they are read"),
    ("memory growing", "each instance uses more memory from hour to hour until it is killed"),
    ("error rate above one percent", "answers with status 500 and above became frequent"),
    ("stuck deployment", "new instances start and never become ready"),
    ("queue not draining", "messages are retried and go back to the queue"),
    ("clock skew", "tokens are refused as issued in the future on some hosts"),
    ("duplicate messages", "the same event was processed more than once"),
    ("cache stampede", "the store is asked by every instance at the same moment"),
    ("failed nightly job", "the job of last night ended before it was done"),
)

CAUSES: Final = (
    ("an index that was dropped by a migration", "the migration was reviewed without its query plan"),
    ("a retry loop without a limit", "each failed call was repeated at once by every client"),
    ("an expired signing key", "the key had been rotated by hand, and the calendar entry was gone"),
    ("a configuration rolled out to every region at once", "the rollout had no steps"),
    ("a dependency that changed its default timeout", "the new version was taken in by a lock update"),
    ("a full partition", "the alert looked at the sum of all partitions and not at each"),
    ("a leap second handled twice", "two libraries corrected the same clock"),
    ("a feature flag with its meaning inverted", "on meant off for customers of the old plan"),
    ("a thundering herd after a restart", "all instances filled their caches at the same time"),
    ("a network partition between two zones", "both sides elected a leader"),
    ("a truncated backup", "the size of backups was never compared with that of the day before"),
    ("a wildcard route that shadowed another", "the order of routes was alphabetical"),
)

CHECKS: Final = (
    "Open the dashboard of {service} and compare the last hour with the same hour a week ago.",
    "Look at the logs of {service} in {region} for lines with the word `{word}`.",
    "Ask {store} how many connections it has, and compare that with the limit.",
    "See which release of {service} runs, and whether it changed within the last day.",
    "Check whether {other} has an incident, because {service} depends on it.",
    "Count the messages that wait, and how old the oldest one is.",
    "Take a heap profile of one instance before anything is restarted.",
)

ACTIONS: Final = (
    "Drain one instance, restart it, and wait until it is ready before the next.",
    "Raise the limit of the pool by half, and open a ticket to lower it again.",
    "Turn off the feature flag `{word}` for {region} only, and watch for ten minutes.",
    "Roll back to the release before, which {team} has to agree to.",
    "Pause the consumers, let the store recover, and start them one after another.",
    "Move traffic from {region} to the nearest other region at ten percent a step.",
    "Renew the certificate by hand, and find out why the renewal did not run.",
    "Delete exports that are older than thirty days; never touch those of invoices.",
    "Replay the events of the last hour from the archive, with idempotency keys kept.",
)

TOPICS: Final = (
    ("On-call rotation", "who answers a page, for how long, and how it is handed over"),
    ("Code review", "what a reviewer looks at, and when two of them are needed"),
    ("Incident roles", "who leads, who writes, and who speaks to customers"),
    ("Access requests", "how access to production is asked for, granted and taken away"),
    ("Data retention", "how long each kind of data is kept, and who deletes it"),
    ("Release calendar", "when releases go out, and on which days nothing is changed"),
    ("Secrets handling", "where secrets live, and how one is replaced that was seen"),
    ("Travel expenses", "what is paid back, by when, and with which receipts"),
    ("Parental leave", "how leave is planned, and who takes over meanwhile"),
    ("Hiring interviews", "which questions are asked, and how notes are written"),
    ("Vendor assessment", "what is asked of a supplier before data goes there"),
    ("Capacity planning", "how next quarter's load is estimated and paid for"),
    ("Accessibility reviews", "how pages are tested with keyboards and screen readers"),
    ("Postmortem culture", "how to write about mistakes without blaming anybody"),
)

RULES: Final = (
    "Nobody works alone on production between midnight and six.",
    "A decision is written down on the day it is made, with the reasons against it.",
    "Two people agree before data of customers is exported, and one of them is in {team}.",
    "A page that nobody could act on is changed or removed within the week.",
    "Questions go to the channel of {team}, where {person} or a deputy answers within a working day.",
    "What is needed for more than ninety days is asked for again.",
    "Exceptions end by themselves, with a date that stands beside them.",
    "Whoever is ill is not on call, whatever the calendar says.",
    "New colleagues in {region} shadow two rotations before they take one.",
)

RESOURCES: Final = (
    *("orders", "refunds", "customers", "addresses", "shipments", "invoices", "subscriptions", "events"),
    *("webhook-endpoints", "api-keys", "price-lists", "stock-levels", "labels", "payout-batches"),
)

NOTES: Final = (
    "Lists come in pages of at most 200; follow the cursor until there is none.",
    "A request that is repeated with the same Idempotency-Key gets the first answer again for a day.",
    "Amounts are integers in the smallest unit of the currency, and never fractions.",
    "Times are in UTC, as RFC 3339 has them, with a Z at the end.",
    "Status 409 means that the version in If-Match is not the newest one: read again and merge.",
    "Status 429 has a Retry-After header in seconds; clients that ignore it are slowed down further.",
    "Fields that are not known are ignored today, and refused from the next version on.",
    "Deleting is soft for thirty days, in which an operator of {team} can bring it back.",
    "In {region} the endpoint answers from a replica, so that a write is seen after some seconds.",
)

WORDS: Final = (
    *("backpressure", "quorum", "tombstone", "watermark", "shadow-read", "dual-write", "canary"),
    *("bulkhead", "fencing-token", "lease", "checkpoint", "compaction", "hot-shard", "dead-letter"),
    *("circuit-breaker", "jitter", "read-repair", "write-ahead", "snapshot", "rebalance"),
)
