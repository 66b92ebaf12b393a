//! INFO: the server in sections of `field:value` lines.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::config::MaxmemoryPolicy;
use crate::resp::{Args, Error};
use crate::server::command::Command;
use crate::server::ctx::Ctx;
use crate::server::memory::MemoryUse;
use crate::server::{REDIS_VERSION, RHUBARB_VERSION, Server};
use crate::spec::{Category, Flags, Group};
use crate::util::process;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Category::DANGEROUS,
    group: Group::Server,
    summary: "Describes the server.",
    syntax: "[section...]",
    history: &[("7.0.0", "Several sections may be given.")],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    handler: info,
    ..Command::DEFAULT
}];

/// Writes one section.
type Section = fn(&mut Server, &mut String);

/// Every section: its name, whether it belongs to the default ones, and its writer.
const SECTIONS: &[(&str, bool, Section)] = &[
    ("server", true, server),
    ("clients", true, clients),
    ("memory", true, memory),
    ("persistence", true, persistence),
    ("stats", true, stats),
    ("replication", true, replication),
    ("cpu", true, cpu),
    ("modules", true, modules),
    ("commandstats", false, commandstats),
    ("errorstats", true, errorstats),
    ("latencystats", false, latencystats),
    ("cluster", true, cluster),
    ("keyspace", true, keyspace),
];

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(), Error> {
    let mut wanted: BTreeSet<Vec<u8>> =
        args.from(1).iter().map(<[u8]>::to_ascii_lowercase).collect();
    if wanted.is_empty() {
        wanted.insert(b"default".to_vec());
    }
    let all = wanted.contains(&b"all"[..]) || wanted.contains(&b"everything"[..]);
    let default = wanted.contains(&b"default"[..]);
    let mut text = String::with_capacity(4096);
    for (name, is_default, write) in SECTIONS {
        if all || default && *is_default || wanted.contains(name.as_bytes()) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            write(ctx.srv, &mut text);
        }
    }
    ctx.out.verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// Appends `field:value` lines.
macro_rules! fields {
    ($text:expr, $title:literal, $($name:literal = $value:expr),* $(,)?) => {
        $text.push_str(concat!("# ", $title, "\r\n"));
        lines!($text, $($name = $value),*);
    };
}

/// As `fields!`, without a title.
macro_rules! lines {
    ($text:expr, $($name:literal = $value:expr),* $(,)?) => {
        $(let _ = write!($text, concat!($name, ":{}\r\n"), $value);)*
    };
}

fn server(srv: &mut Server, text: &mut String) {
    let uptime = (srv.now_ms - srv.started_ms).max(0) / 1000;
    let path = |path: Option<std::path::PathBuf>| {
        path.map(|path| path.display().to_string()).unwrap_or_default()
    };
    fields!(
        text,
        "Server",
        "redis_version" = REDIS_VERSION,
        "redis_git_sha1" = "00000000",
        "redis_git_dirty" = 0,
        "redis_build_id" = "0",
        "redis_mode" = "standalone",
        "server_name" = "rhubarb",
        "rhubarb_version" = RHUBARB_VERSION,
        "os" = process::os(),
        "arch_bits" = usize::BITS,
        "monotonic_clock" = "POSIX clock_gettime",
        "multiplexing_api" = "epoll",
        "atomicvar_api" = "c11-builtin",
        "gcc_version" = "0.0.0",
        "process_id" = std::process::id(),
        "process_supervised" = "no",
        "run_id" = srv.run_id,
        "tcp_port" = srv.config.port,
        "server_time_usec" = srv.clock.unix_us(),
        "uptime_in_seconds" = uptime,
        "uptime_in_days" = uptime / 86_400,
        "hz" = srv.config.hz,
        "configured_hz" = srv.config.hz,
        "lru_clock" = (srv.now_ms / 1000) & 0xff_ffff,
        "executable" = path(std::env::current_exe().ok()),
        "config_file" = path(srv.config_file.clone()),
        "io_threads_active" = 0,
        "listener0" = listener(srv),
    );
}

fn listener(srv: &Server) -> String {
    let binds: String = srv.config.bind.iter().map(|bind| format!(",bind={bind}")).collect();
    format!("name=tcp{binds},port={}", srv.config.port)
}

fn clients(srv: &mut Server, text: &mut String) {
    let mut largest = (0, 0);
    let mut subscribed = 0;
    for client in srv.clients.iter() {
        largest = (largest.0.max(client.query_buf.0), largest.1.max(client.pending_out()));
        subscribed += usize::from(!client.subs.is_empty());
    }
    let watching = srv.clients.iter().filter(|client| !client.watching.is_empty()).count();
    fields!(
        text,
        "Clients",
        "connected_clients" = srv.clients.len(),
        "cluster_connections" = 0,
        "maxclients" = srv.config.maxclients,
        "client_recent_max_input_buffer" = largest.0,
        "client_recent_max_output_buffer" = largest.1,
        "blocked_clients" = srv.blocked.len() + srv.paused_clients(),
        "tracking_clients" = srv.tracking.clients(),
        "pubsub_clients" = subscribed,
        "watching_clients" = watching,
        "clients_in_timeout_table" = srv.blocked.timeouts(),
        "total_watched_keys" = srv.watched.len(),
        "total_blocking_keys" = srv.blocked.keys(),
        "total_blocking_keys_on_nokey" = 0,
    );
}

/// Bytes as people read them: `1.50M`.
pub fn human(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..0x10_0000 => format!("{:.2}K", value / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.2}M", value / 1024.0 / 1024.0),
        _ => format!("{:.2}G", value / 1024.0 / 1024.0 / 1024.0),
    }
}

fn ratio(a: u64, b: u64) -> String {
    format!("{:.2}", if b == 0 { 0.0 } else { a as f64 / b as f64 })
}

fn memory(srv: &mut Server, text: &mut String) {
    let m = srv.memory_use();
    let MemoryUse { alloc, rss, peak, clients, vm, scripts: cache, overhead, .. } = m;
    let (vm_total, code_total) = (vm + m.vm_functions, cache + m.functions);
    let (used, dataset) = (m.used(), m.dataset());
    let net = used.saturating_sub(srv.startup_memory).max(1);
    let total = process::total_memory();
    let maxmemory = srv.config.maxmemory;
    fields!(
        text,
        "Memory",
        "used_memory" = used,
        "used_memory_human" = human(used),
        "used_memory_rss" = rss,
        "used_memory_rss_human" = human(rss),
        "used_memory_peak" = peak,
        "used_memory_peak_human" = human(peak),
        "used_memory_peak_perc" = format!("{:.2}%", used as f64 * 100.0 / peak.max(1) as f64),
        "used_memory_overhead" = overhead,
        "used_memory_startup" = srv.startup_memory,
        "used_memory_dataset" = dataset,
        "used_memory_dataset_perc" =
            format!("{:.2}%", (dataset as f64 * 100.0 / net as f64).min(100.0)),
        "allocator_allocated" = alloc.allocated,
        "allocator_active" = alloc.active,
        "allocator_resident" = alloc.resident,
        "total_system_memory" = total,
        "total_system_memory_human" = human(total),
        "used_memory_lua" = vm,
        "used_memory_vm_eval" = vm,
        "used_memory_lua_human" = human(vm),
        "used_memory_scripts_eval" = cache,
        "number_of_cached_scripts" = srv.scripting.cached(),
        "number_of_functions" = srv.functions.function_count(),
        "number_of_libraries" = srv.functions.library_count(),
        "used_memory_vm_functions" = m.vm_functions,
        "used_memory_vm_total" = vm_total,
        "used_memory_vm_total_human" = human(vm_total),
        "used_memory_functions" = m.functions,
        "used_memory_scripts" = code_total,
        "used_memory_scripts_human" = human(code_total),
        "maxmemory" = maxmemory,
        "maxmemory_human" = human(maxmemory),
        "maxmemory_policy" = MaxmemoryPolicy::word(srv.config.maxmemory_policy),
        "allocator_frag_ratio" = ratio(alloc.active, alloc.allocated),
        "allocator_frag_bytes" = alloc.active.saturating_sub(alloc.allocated),
        "allocator_rss_ratio" = ratio(alloc.resident, alloc.active),
        "allocator_rss_bytes" = alloc.resident.saturating_sub(alloc.active),
        "rss_overhead_ratio" = ratio(rss, alloc.resident),
        "rss_overhead_bytes" = rss as i64 - alloc.resident as i64,
        "mem_fragmentation_ratio" = ratio(rss, used),
        "mem_fragmentation_bytes" = rss as i64 - used as i64,
        "mem_not_counted_for_evict" = 0,
        "mem_replication_backlog" = 0,
        "mem_total_replication_buffers" = 0,
        "mem_clients_slaves" = 0,
        "mem_clients_normal" = clients,
        "mem_cluster_links" = 0,
        "mem_aof_buffer" = srv.aof.log.unwritten(),
        "mem_allocator" = "jemalloc-5.3.0",
        "active_defrag_running" = 0,
        "lazyfree_pending_objects" = srv.lazyfree.pending(),
        "lazyfreed_objects" = srv.lazyfree.freed(),
    );
}

fn persistence(srv: &mut Server, text: &mut String) {
    let aof = &srv.aof;
    let status = |ok: bool| if ok { "ok" } else { "err" };
    let progress = srv.rdb.progress().or(aof.rewrite_progress());
    let (saved_keys, all_keys) = progress.unwrap_or_default();
    let growth = srv.rdb.growth(process::allocator().allocated);
    let saving_s = srv.rdb.started_ms().map_or(-1, |started_ms| (srv.now_ms - started_ms) / 1000);
    let percent = saved_keys as f64 * 100.0 / all_keys.max(1) as f64;
    fields!(
        text,
        "Persistence",
        "loading" = u8::from(srv.is_loading()),
        "async_loading" = 0,
        "current_cow_peak" = growth,
        "current_cow_size" = growth,
        "current_cow_size_age" = 0,
        "current_fork_perc" = format!("{percent:.2}"),
        "current_save_keys_processed" = saved_keys,
        "current_save_keys_total" = all_keys,
        "rdb_changes_since_last_save" = srv.dirty,
        "rdb_bgsave_in_progress" = u8::from(srv.rdb.is_saving()),
        "rdb_last_save_time" = srv.rdb.last_save_ms / 1000,
        "rdb_last_bgsave_status" = status(srv.rdb.last_ok),
        "rdb_last_bgsave_time_sec" = srv.rdb.last_duration_s.unwrap_or(-1),
        "rdb_current_bgsave_time_sec" = saving_s,
        "rdb_saves" = srv.rdb.saves,
        "rdb_last_cow_size" = srv.rdb.last_cow,
        "rdb_last_load_keys_expired" = srv.rdb.last_load.1,
        "rdb_last_load_keys_loaded" = srv.rdb.last_load.0,
        "aof_enabled" = u8::from(aof.is_on()),
        "aof_rewrite_in_progress" = u8::from(aof.is_rewriting()),
        "aof_rewrite_scheduled" = u8::from(aof.rewrite_scheduled),
        "aof_last_rewrite_time_sec" = aof.last_rewrite_s.unwrap_or(-1),
        "aof_current_rewrite_time_sec" =
            aof.rewrite_started_ms().map_or(-1, |started_ms| (srv.now_ms - started_ms) / 1000),
        "aof_last_bgrewrite_status" = status(aof.last_rewrite_ok),
        "aof_rewrites" = aof.rewrites,
        "aof_rewrites_consecutive_failures" = aof.failures,
        "aof_last_write_status" = status(aof.log.error().is_none()),
        "aof_last_cow_size" = 0,
        "module_fork_in_progress" = 0,
        "module_fork_last_cow_size" = 0,
    );
    if let Some(loading) = &srv.loading {
        lines!(
            text,
            "loading_start_time" = loading.started_ms / 1000,
            "loading_total_bytes" = loading.total,
            "loading_rdb_used_mem" = loading.used_mem,
            "loading_loaded_bytes" = loading.loaded,
            "loading_loaded_perc" = format!("{:.2}", loading.percent()),
            "loading_eta_seconds" = loading.eta_s(srv.now_ms).unwrap_or(1),
        );
    }
    if aof.is_on() {
        lines!(
            text,
            "aof_current_size" = aof.log.size(),
            "aof_base_size" = aof.base_size,
            "aof_pending_rewrite" = u8::from(aof.rewrite_scheduled),
            "aof_buffer_length" = aof.log.unwritten(),
            "aof_pending_bio_fsync" = u8::from(aof.log.is_syncing()),
            "aof_delayed_fsync" = aof.log.delayed_syncs(),
        );
    }
}

fn stats(srv: &mut Server, text: &mut String) {
    let counters = &srv.counters;
    let kbps = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    fields!(
        text,
        "Stats",
        "total_connections_received" = counters.connections,
        "total_commands_processed" = counters.commands,
        "instantaneous_ops_per_sec" = srv.rates[0].per_second(),
        "total_net_input_bytes" = counters.net_in,
        "total_net_output_bytes" = counters.net_out,
        "total_net_repl_input_bytes" = 0,
        "total_net_repl_output_bytes" = 0,
        "instantaneous_input_kbps" = kbps(srv.rates[1].per_second()),
        "instantaneous_output_kbps" = kbps(srv.rates[2].per_second()),
        "instantaneous_input_repl_kbps" = "0.00",
        "instantaneous_output_repl_kbps" = "0.00",
        "rejected_connections" = counters.rejected_connections,
        "sync_full" = 0,
        "sync_partial_ok" = 0,
        "sync_partial_err" = 0,
        "expired_subkeys" = counters.expired_fields,
        "expired_keys" = counters.expired,
        "expired_stale_perc" = "0.00",
        "expired_time_cap_reached_count" = counters.expired_time_cap,
        "expire_cycle_cpu_milliseconds" = counters.expire_ns / 1_000_000,
        "evicted_keys" = 0,
        "evicted_clients" = counters.evicted_clients,
        "evicted_scripts" = 0,
        "total_eviction_exceeded_time" = 0,
        "current_eviction_exceeded_time" = 0,
        "keyspace_hits" = counters.hits,
        "keyspace_misses" = counters.misses,
        "pubsub_channels" = srv.pubsub.channels(crate::server::pubsub::Kind::Channel).count(),
        "pubsub_patterns" = srv.pubsub.pattern_count(),
        "pubsubshard_channels" = srv.pubsub.channels(crate::server::pubsub::Kind::Shard).count(),
        "latest_fork_usec" = 0,
        "total_forks" = srv.rdb.begun + srv.aof.rewrites,
        "migrate_cached_sockets" = srv.network.migrate_sockets(),
        "slave_expires_tracked_keys" = 0,
        "active_defrag_hits" = 0,
        "active_defrag_misses" = 0,
        "active_defrag_key_hits" = 0,
        "active_defrag_key_misses" = 0,
        "total_active_defrag_time" = 0,
        "current_active_defrag_time" = 0,
        "tracking_total_keys" = srv.tracking.keys(),
        "tracking_total_items" = srv.tracking.items(),
        "tracking_total_prefixes" = srv.tracking.prefixes(),
        "unexpected_error_replies" = counters.unexpected_errors,
        "total_error_replies" = counters.errors,
        "dump_payload_sanitizations" = counters.sanitizations,
        "total_reads_processed" = counters.reads,
        "total_writes_processed" = counters.writes,
        "io_threaded_reads_processed" = 0,
        "io_threaded_writes_processed" = 0,
        "client_query_buffer_limit_disconnections" = counters.query_buffer_closes,
        "client_output_buffer_limit_disconnections" = counters.output_buffer_closes,
        "reply_buffer_shrinks" = 0,
        "reply_buffer_expands" = 0,
        "acl_access_denied_auth" = counters.access_denied_auth,
        "acl_access_denied_cmd" = counters.access_denied_command,
        "acl_access_denied_key" = counters.access_denied_key,
        "acl_access_denied_channel" = counters.access_denied_channel,
    );
}

fn replication(srv: &mut Server, text: &mut String) {
    fields!(
        text,
        "Replication",
        "role" = "master",
        "connected_slaves" = 0,
        "master_failover_state" = "no-failover",
        "master_replid" = srv.run_id,
        "master_replid2" = "0".repeat(40),
        "master_repl_offset" = 0,
        "second_repl_offset" = -1,
        "repl_backlog_active" = 0,
        "repl_backlog_size" = srv.config.repl_backlog_size,
        "repl_backlog_first_byte_offset" = 0,
        "repl_backlog_histlen" = 0,
    );
}

fn cpu(_: &mut Server, text: &mut String) {
    let (all, main) = process::cpu_times();
    fields!(
        text,
        "CPU",
        "used_cpu_sys" = format!("{:.6}", all.system_s),
        "used_cpu_user" = format!("{:.6}", all.user_s),
        "used_cpu_sys_children" = "0.000000",
        "used_cpu_user_children" = "0.000000",
        "used_cpu_sys_main_thread" = format!("{:.6}", main.system_s),
        "used_cpu_user_main_thread" = format!("{:.6}", main.user_s),
    );
}

fn modules(_: &mut Server, text: &mut String) {
    text.push_str("# Modules\r\n");
}

fn commandstats(srv: &mut Server, text: &mut String) {
    text.push_str("# Commandstats\r\n");
    for (id, row) in srv.commands.iter() {
        let Some(stats) = srv.counters.per_command.get(id.index()) else { continue };
        if stats.calls == 0 && stats.rejected == 0 {
            continue;
        }
        let us = stats.ns / 1000;
        let per_call =
            if stats.calls == 0 { 0.0 } else { stats.ns as f64 / 1000.0 / stats.calls as f64 };
        let _ = write!(
            text,
            "cmdstat_{}:calls={},usec={us},usec_per_call={per_call:.2},rejected_calls={},\
             failed_calls={}\r\n",
            row.full_name, stats.calls, stats.rejected, stats.failed
        );
    }
}

fn errorstats(srv: &mut Server, text: &mut String) {
    text.push_str("# Errorstats\r\n");
    for (code, count) in &srv.counters.error_codes {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

fn latencystats(srv: &mut Server, text: &mut String) {
    text.push_str("# Latencystats\r\n");
    for (id, row) in srv.commands.iter() {
        let Some(stats) = srv.counters.per_command.get(id.index()) else { continue };
        if stats.latency.total() == 0 {
            continue;
        }
        let _ = write!(text, "latency_percentiles_usec_{}:", row.full_name);
        for (i, &percent) in srv.config.latency_tracking_info_percentiles.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let us = stats.latency.percentile(percent) as f64 / 1000.0;
            let _ = write!(text, "{comma}p{percent}={us:.3}");
        }
        text.push_str("\r\n");
    }
}

fn cluster(_: &mut Server, text: &mut String) {
    fields!(text, "Cluster", "cluster_enabled" = 0);
}

fn keyspace(srv: &mut Server, text: &mut String) {
    text.push_str("# Keyspace\r\n");
    for (i, db) in srv.dbs.iter().enumerate() {
        if db.is_empty() {
            continue;
        }
        let avg_ttl = db.mean_deadline().map_or(0, |mean| (mean - srv.now_ms).max(0));
        let _ = write!(
            text,
            "db{i}:keys={},expires={},avg_ttl={avg_ttl}\r\n",
            db.len(),
            db.volatile_len()
        );
    }
}
