//! Every metric by name: what it means, and what to do when it moves.
//!
//! `docs/reference/metrics.md` is generated from the doc comments here. Labels are bounded: peers and domains with an
//! agreement, protocols, services, outcomes; never an address.

/// Requests that were answered, by service, side they came from, protocol and outcome (`done`, `stored`, `refused`).
/// When `refused` of one peer rises, ask `impsgw trace` for one of its addresses: the last step names the clause.
pub const RELAY_REQUESTS: &str = "impsgw_relay_requests_total";
/// Seconds from reading a request to its answer, by service. Near the cut-through bound (5 s) peers are slow or down:
/// see the delivery metric for which.
pub const RELAY_REQUEST_SECONDS: &str = "impsgw_relay_request_seconds";
/// Delivery attempts, by serving domain, protocol and outcome (`taken`, `failed`). When `failed` rises for one domain,
/// `impsgw peer show` says what its sessions do; messages wait in its queue meanwhile.
pub const RELAY_DELIVERIES: &str = "impsgw_relay_deliveries_total";
/// Sessions that are open, by peer. 0 while the peer is not suspended means that nothing reaches it: `impsgw peer show`.
pub const PEER_SESSIONS: &str = "impsgw_peer_sessions";
/// 1 while an operator has suspended the peer. It stays so until `impsgw peer resume`.
pub const PEER_SUSPENDED: &str = "impsgw_peer_suspended";
/// How many deliveries may be under way to each peer now, of messages, notices, notifications and reports. It shrinks while the
/// peer is slow, refuses with 500, 503 or 504, or can't be reached, and grows back up to `delivery.max_in_flight` of its
/// agreement as the peer answers. At 1 for minutes: `impsgw peer show`, then `impsgw probe`.
pub const PEER_CONCURRENCY_LIMIT: &str = "impsgw_peer_concurrency_limit";
/// How many of them may begin a second; shrinks and grows likewise, up to `delivery.max_per_second`.
pub const PEER_RATE_LIMIT: &str = "impsgw_peer_rate_limit";
/// 1 while an operator holds a whole queue. It stays so until `impsgw queue release --queue QUEUE`.
pub const QUEUE_HELD: &str = "impsgw_queue_held";
/// Items in each queue and place (`scheduled`, `leased`, `awaiting`, `held`, `dead`). `dead` items wait for a person:
/// `impsgw queue list --place dead`.
pub const QUEUE_ITEMS: &str = "impsgw_queue_items";
/// Age in seconds of the oldest item of each queue and place. Growing while sessions are open means that the peer takes
/// messages too slowly or answers none.
pub const QUEUE_OLDEST_SECONDS: &str = "impsgw_queue_oldest_seconds";
/// DNS queries sent. A jump without more traffic means that TTLs became short or caches were flushed.
pub const ROUTING_QUERIES: &str = "impsgw_routing_queries_total";
/// Routes that were not in the cache and were derived from facts, asking DNS where needed. Rising against the requests means
/// that TTLs are short or that the caches are too small.
pub const ROUTING_DERIVED: &str = "impsgw_routing_derived_total";
/// Routes that failed for now. Rising means that resolvers fail: `impsgw cache list --state failed` shows which.
pub const ROUTING_TEMPORARY: &str = "impsgw_routing_temporary_failures_total";
/// Answers used past their time because DNS is down (RFC 8767). Anything above 0 over minutes: look at the resolvers.
pub const ROUTING_STALE: &str = "impsgw_routing_stale_answers_total";
/// Accounts of ours whose number ENUM leads to another operator, each counted once for messages and once for presence; known
/// from a number's first traffic on. The account goes before ENUM, so our subscriber is reached from here, but not by others:
/// the log names the domain, and `impsgw route NUMBER` shows the record. Correct the record, or close the account.
pub const ROUTING_CONFLICTS: &str = "impsgw_routing_conflicts";
/// Names in use whose answers were asked for again ahead of their end.
pub const ROUTING_REFRESHES: &str = "impsgw_routing_refreshes_total";
/// Entries in the caches, by kind (`facts`, `numbers`, `domains`). At the configured bound entries push one another out.
pub const CACHE_ENTRIES: &str = "impsgw_cache_entries";
/// Octets of memory that DNS answers take in the cache.
pub const CACHE_FACT_BYTES: &str = "impsgw_cache_facts_bytes";
/// Whole days until something of TLS ends, by kind (`identity`: our certificate; `authority`: one that we trust;
/// `revocation-list`) and by its subject or issuer; set at the start, after each reload and daily. At 0 peers refuse us, or
/// we refuse them: replace the file that `[ssp]` names, then `impsgw reload`. The log warns at 30, 7 and 1 days.
pub const SSP_CERTIFICATE_DAYS: &str = "impsgw_ssp_certificate_days";
/// 1 while the store takes nothing: the disk is full, read-only or failing, or the database is away. What needs the store is refused
/// with 503, `/readyz` says so, and the node goes on by itself when there is room again. Make room at once: see the log and `df`.
pub const STORE_FAILING: &str = "impsgw_store_failing";
/// Commits that a bound of `[store]` or of an agreement refused, with 507. Rising: `impsgw queue list` shows what fills it;
/// deliver, redirect or discard that, or raise the bound.
pub const STORE_FULL: &str = "impsgw_store_full_total";
/// Seconds that a commit to the store took, by outcome (`done`, `failed`). Every accepted message waits for one; over
/// 0.1 s the disk is too slow. `failed` above 0: look at the log and the disk at once.
pub const STORE_COMMIT_SECONDS: &str = "impsgw_store_commit_seconds";
/// Trails that were not kept because the disk was slower than the traffic. Nothing else suffers, but `impsgw trace` has
/// holes.
pub const TRAILS_DROPPED: &str = "impsgw_trails_dropped_total";
/// Nodes of the cluster that live, as this node sees them; 0 where a node is alone. One less than there should be means that one
/// has died, or can't reach the database: its log says which.
pub const CLUSTER_NODES: &str = "impsgw_cluster_nodes";
/// Requests of this node to others, by topic and outcome (`answered`, `refused`, `silent`, `unreachable`). `silent` and
/// `unreachable` while all nodes live mean that the network between them, or a certificate, is broken: the log names the node.
pub const CLUSTER_REQUESTS: &str = "impsgw_cluster_requests_total";
/// Calls of the admin API by answer status. Many 401 or 403 mean that somebody guesses or that a token has ended:
/// `impsgw audit`.
pub const ADMIN_CALLS: &str = "impsgw_admin_calls_total";
