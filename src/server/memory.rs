//! Where the memory went, as INFO and MEMORY tell it.

use crate::server::Server;
use crate::util::process::{self, Allocator};

/// Memory by use, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryUse {
    /// What the allocator says.
    pub alloc: Allocator,
    /// Resident memory of the process.
    pub rss: u64,
    /// The most that was ever in use.
    pub peak: u64,
    /// Clients with their buffers.
    pub clients: u64,
    /// The VM of scripts.
    pub vm: u64,
    /// Cached scripts.
    pub scripts: u64,
    /// The VM of functions.
    pub vm_functions: u64,
    /// Libraries of functions.
    pub functions: u64,
    /// All that isn't data.
    pub overhead: u64,
}

impl MemoryUse {
    /// Memory in use.
    pub fn used(&self) -> u64 {
        self.alloc.allocated
    }

    /// Memory that data takes.
    pub fn dataset(&self) -> u64 {
        self.used().saturating_sub(self.overhead)
    }
}

impl Server {
    /// Takes the memory in use now for what the server takes without any data.
    pub fn note_startup_memory(&mut self) {
        self.startup_memory = process::allocator().allocated;
    }

    /// Measures memory. It takes a moment: not for each command.
    pub fn memory_use(&mut self) -> MemoryUse {
        let alloc = process::allocator();
        self.counters.peak_memory = self.counters.peak_memory.max(alloc.allocated);
        let tables: usize =
            self.dbs.iter().map(|db| db.overhead_bytes().0 + db.overhead_bytes().1).sum();
        let clients: usize = self.clients.iter().map(|client| client.memory()).sum();
        let (vm, scripts) = self.scripting.memory();
        let (vm_functions, functions) = (self.functions.vm_bytes(), self.functions.library_bytes());
        let lua = vm + scripts + vm_functions + functions;
        let overhead = self.startup_memory + (tables + clients + lua) as u64;
        MemoryUse {
            alloc,
            rss: process::resident_bytes(),
            peak: self.counters.peak_memory,
            clients: clients as u64,
            vm: vm as u64,
            scripts: scripts as u64,
            vm_functions: vm_functions as u64,
            functions: functions as u64,
            overhead: overhead.min(alloc.allocated),
        }
    }
}
