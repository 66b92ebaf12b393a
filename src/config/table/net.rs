//! Rows of the directives for sockets and TLS. Never parses and never reads files.

use super::super::directive::{
    Directive, Kind, Mutability, ROW, Section, Support, Unit, flag, int, store, text, word,
};
use super::super::special;
use super::super::words::{Allow, TlsAuthClients};

const NET: Directive = Directive { section: Section::Network, ..ROW };
const TLS: Directive = Directive { section: Section::Tls, support: Support::Idle("TLS"), ..ROW };

/// The rows.
pub static ROWS: &[Directive] = &[
    Directive {
        name: "bind",
        kind: special::BIND,
        doc: "Addresses to listen on, at most 16. A \"-\" before an address lets an \
              unavailable one pass; \"*\" is all IPv4 and \"::*\" all IPv6 addresses; an \
              empty value turns TCP off.",
        ..NET
    },
    Directive {
        name: "bind-source-addr",
        support: Support::Idle("replication"),
        kind: text!(bind_source_addr),
        doc: "Address that outgoing connections come from.",
        example: "10.0.0.1",
        ..NET
    },
    Directive {
        name: "protected-mode",
        kind: flag!(protected_mode),
        doc: "With \"yes\", clients from other machines are refused while the default user \
              has no password.",
        ..NET
    },
    Directive {
        name: "port",
        kind: int!(port, 0, u16::MAX),
        doc: "TCP port; 0 turns TCP off.",
        ..NET
    },
    Directive {
        name: "tcp-backlog",
        kind: int!(tcp_backlog, 0, i32::MAX),
        mutability: Mutability::Startup,
        doc: "Length of the queue of connections not yet accepted; the kernel's somaxconn \
              caps it.",
        ..NET
    },
    Directive {
        name: "unixsocket",
        kind: text!(unixsocket),
        mutability: Mutability::Startup,
        doc: "Path of a Unix socket to listen on as well.",
        example: "/run/rhubarb.sock",
        ..NET
    },
    Directive {
        name: "unixsocketperm",
        kind: int!(unixsocketperm, 0, 0o777, Octal),
        mutability: Mutability::Startup,
        doc: "Mode of the Unix socket in octal digits; 0 leaves it to the umask.",
        ..NET
    },
    Directive {
        name: "timeout",
        kind: int!(timeout, 0, i32::MAX),
        doc: "Seconds after which an idle client is closed; 0 is never.",
        ..NET
    },
    Directive {
        name: "tcp-keepalive",
        kind: int!(tcp_keepalive, 0, i32::MAX),
        doc: "Seconds between TCP keepalive probes; 0 turns them off.",
        ..NET
    },
    Directive {
        name: "socket-mark-id",
        kind: int!(socket_mark_id, 0, u32::MAX),
        mutability: Mutability::Startup,
        support: Support::Off("socket marks"),
        doc: "Mark put on listening sockets for routing and filtering; 0 is none.",
        ..NET
    },
    Directive {
        name: "enable-protected-configs",
        kind: word!(enable_protected_configs, Allow),
        mutability: Mutability::Startup,
        doc: "Who may set protected directives such as \"dir\" by CONFIG SET: \"no\", \
              \"yes\", or \"local\" for connections from this machine.",
        ..NET
    },
    Directive {
        name: "enable-debug-command",
        kind: word!(enable_debug_command, Allow),
        mutability: Mutability::Startup,
        doc: "Who may use DEBUG: \"no\", \"yes\" or \"local\".",
        ..NET
    },
    Directive {
        name: "enable-module-command",
        kind: word!(enable_module_command, Allow),
        mutability: Mutability::Startup,
        doc: "Who may use MODULE: \"no\", \"yes\" or \"local\".",
        ..NET
    },
    Directive {
        name: "tls-port",
        kind: int!(tls_port, 0, u16::MAX),
        support: Support::Off("TLS"),
        doc: "TLS port; 0 turns TLS off.",
        ..TLS
    },
    Directive {
        name: "tls-cert-file",
        kind: text!(tls_cert_file),
        doc: "Certificate in PEM form.",
        example: "server.crt",
        ..TLS
    },
    Directive {
        name: "tls-key-file",
        kind: text!(tls_key_file),
        doc: "Private key in PEM form.",
        example: "server.key",
        ..TLS
    },
    Directive {
        name: "tls-key-file-pass",
        kind: text!(tls_key_file_pass),
        sensitive: true,
        doc: "Passphrase of the private key.",
        example: "secret",
        ..TLS
    },
    Directive {
        name: "tls-client-cert-file",
        kind: text!(tls_client_cert_file),
        doc: "Certificate for outgoing connections.",
        example: "client.crt",
        ..TLS
    },
    Directive {
        name: "tls-client-key-file",
        kind: text!(tls_client_key_file),
        doc: "Private key for outgoing connections.",
        example: "client.key",
        ..TLS
    },
    Directive {
        name: "tls-client-key-file-pass",
        kind: text!(tls_client_key_file_pass),
        sensitive: true,
        doc: "Passphrase of the private key for outgoing connections.",
        example: "secret",
        ..TLS
    },
    Directive {
        name: "tls-dh-params-file",
        kind: text!(tls_dh_params_file),
        doc: "Diffie-Hellman parameters.",
        example: "server.dh",
        ..TLS
    },
    Directive {
        name: "tls-ca-cert-file",
        kind: text!(tls_ca_cert_file),
        doc: "Bundle of certificates that are trusted.",
        example: "ca.crt",
        ..TLS
    },
    Directive {
        name: "tls-ca-cert-dir",
        kind: text!(tls_ca_cert_dir),
        doc: "Directory of certificates that are trusted.",
        example: "/etc/ssl/certs",
        ..TLS
    },
    Directive {
        name: "tls-auth-clients",
        kind: word!(tls_auth_clients, TlsAuthClients),
        doc: "Whether TLS clients must show a certificate: \"no\", \"yes\" or \
              \"optional\".",
        ..TLS
    },
    Directive {
        name: "tls-replication",
        kind: flag!(tls_replication),
        support: Support::Off("TLS"),
        doc: "Use TLS to the master.",
        ..TLS
    },
    Directive {
        name: "tls-cluster",
        kind: flag!(tls_cluster),
        support: Support::Off("TLS"),
        doc: "Use TLS on the cluster bus.",
        ..TLS
    },
    Directive {
        name: "tls-protocols",
        kind: text!(tls_protocols),
        doc: "Versions of TLS to offer.",
        example: "\"TLSv1.2 TLSv1.3\"",
        ..TLS
    },
    Directive {
        name: "tls-ciphers",
        kind: text!(tls_ciphers),
        doc: "Ciphers up to TLS 1.2.",
        example: "DEFAULT:!MEDIUM",
        ..TLS
    },
    Directive {
        name: "tls-ciphersuites",
        kind: text!(tls_ciphersuites),
        doc: "Cipher suites of TLS 1.3.",
        example: "TLS_CHACHA20_POLY1305_SHA256",
        ..TLS
    },
    Directive {
        name: "tls-prefer-server-ciphers",
        kind: flag!(tls_prefer_server_ciphers),
        doc: "Let the server's order of ciphers win.",
        ..TLS
    },
    Directive {
        name: "tls-session-caching",
        kind: flag!(tls_session_caching),
        doc: "Keep TLS sessions for reuse.",
        ..TLS
    },
    Directive {
        name: "tls-session-cache-size",
        kind: int!(tls_session_cache_size, 0, i32::MAX),
        doc: "Sessions that are kept; 0 is no limit.",
        ..TLS
    },
    Directive {
        name: "tls-session-cache-timeout",
        kind: int!(tls_session_cache_timeout, 0, i32::MAX),
        doc: "Seconds for which a session is kept.",
        ..TLS
    },
];
