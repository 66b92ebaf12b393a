# Small changes to the Redis 7.0 suite's helpers, loaded after its own (tests/support/util.tcl).
# Owns: the differences between Redis 7.0 and 7.2 that make a right answer look wrong, and switches for `run`.
# Never: hides a wrong answer. Each change says which difference it stands for.

# Redis 7.2 keeps a small list as one listpack, where 7.0 always said quicklist.
proc assert_encoding {enc key} {
    set val [r object encoding $key]
    if {$enc eq "quicklist" && $val eq "listpack"} {
        return
    }
    assert_match $enc $val
}

# unit/scripting runs all its tests twice: as functions (FUNCTION LOAD, FCALL), then as scripts (EVAL).
# RHUBARB_SKIP_FCALL=1 leaves out the first half.
set ::rhubarb_skip_fcall [expr {[info exists ::env(RHUBARB_SKIP_FCALL)] && $::env(RHUBARB_SKIP_FCALL) eq "1"}]

rename test suite_test
proc test {name code {okpattern undefined} {tags {}}} {
    upvar 1 is_eval is_eval
    if {$::rhubarb_skip_fcall && [info exists is_eval] && $is_eval == 0} {
        incr ::num_skipped
        send_data_packet $::test_server_fd skip "$name (as a function)"
        return
    }
    # Redis 7.2 writes these names with dashes (7.0's are aliases), in CONFIG sanity's list of what can't be set too.
    if {$name eq "CONFIG sanity"} {
        regsub {server_cpulist} $code "server_cpulist\nserver-cpulist\nbio-cpulist\naof-rewrite-cpulist\nbgsave-cpulist" code
    }
    # Redis 7.2 prints doubles in the shortest form that reads back the same, 7.0 with 17 digits: compared as numbers.
    if {[string match "ZSCORE - *" $name] || [string match "ZMSCORE - *" $name] || [string match "ZSCORE after *" $name]} {
        regsub -all {assert_equal (\[lindex \$aux \$i\]) (\[r z[a-z]+ zscoretest \$i\])} $code {assert {\1 == \2}} code
    }
    foreach text {code okpattern} {
        set $text [in_words_of_7_2 [set $text]]
    }
    # Redis 7.2 keeps every command rule given, in its order, even one that changes nothing.
    if {$name eq "ACLs set can include subcommands, if already full command exists"} {
        regsub {assert_equal {\+@all} \$cmdstr} $code {assert_equal {+@all +client|id} $cmdstr} code
    }
    regsub -all {exec kill -9 (\[get_child_pid 0\]|\$pid\d)} $code {kill_child} code
    uplevel 1 [list suite_test $name $code $okpattern $tags]
}

# A server that doesn't fork has no child to kill: its save or rewrite is told to fail instead.
rename get_child_pid suite_get_child_pid
proc get_child_pid {idx} {
    if {[catch {suite_get_child_pid $idx} pid] || $pid eq ""} {
        return none
    }
    return $pid
}

proc kill_child {} {
    set pid [get_child_pid 0]
    if {$pid eq "none"} {
        r debug fail-child
    } else {
        exec kill -9 $pid
    }
}

# Redis 7.2 says in other words why a user may not do something, and shows the flag sanitize-payload.
proc in_words_of_7_2 {text} {
    regsub -all {NOPERM this user has no permissions to access one of the keys used as arguments} $text {NOPERM No permissions to access a key} text
    regsub -all {NOPERM\*(key|channel)s\*} $text {NOPERM*\1*} text
    regsub -all {"This user has no permissions to ([^"]*)"\s+\[r ACL DRYRUN (\S+) } $text {"User \2 has no permissions to \1" [r ACL DRYRUN \2 } text
    regsub -all {user hpuser on nopass resetchannels} $text {user hpuser on nopass sanitize-payload resetchannels} text
    return $text
}

# RHUBARB_SKIP_OVERRIDES: directives; a server block that is started with one of them is left out.
# RHUBARB_SKIP_BLOCKS: texts, one a line; a server block whose code holds one of them is left out.
set ::rhubarb_skip_overrides {}
if {[info exists ::env(RHUBARB_SKIP_OVERRIDES)]} {
    set ::rhubarb_skip_overrides $::env(RHUBARB_SKIP_OVERRIDES)
}

set ::rhubarb_skip_blocks {}
if {[info exists ::env(RHUBARB_SKIP_BLOCKS)]} {
    set ::rhubarb_skip_blocks [split $::env(RHUBARB_SKIP_BLOCKS) "\n"]
}

rename start_server suite_start_server
proc start_server {options {code undefined}} {
    if {[dict exists $options overrides]} {
        foreach directive $::rhubarb_skip_overrides {
            if {[dict exists $options overrides $directive]} {
                send_data_packet $::test_server_fd ignore "server block with $directive"
                return
            }
        }
    }
    foreach text $::rhubarb_skip_blocks {
        if {[string first $text $code] >= 0} {
            send_data_packet $::test_server_fd ignore "server block that holds $text"
            return
        }
    }
    # The second server of this unit loads the file of the first, which the suite has removed by then.
    if {[info exists ::curfile] && [string match "*integration/aof-race*" $::curfile]} {
        dict set options keep_persistence true
    }
    uplevel 1 [list suite_start_server $options $code]
}
