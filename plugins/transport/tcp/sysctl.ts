/**
 * TCP's tunables by Linux's names, in Linux's units: they are written into plain fields. Linux: ipv4_net_table,
 * Documentation/networking/ip-sysctl.rst.
 */
import type { Net } from "../../../core/mod.ts";
import { tcpCongestionControls, tcpSetDefaultCongestionControl } from "./cong.ts";
import { tcpFastopenKeyText } from "./fastopen.ts";
import type { TcpSettings } from "./tcp_sock.ts";
import type { TcpState, TcpSysctl } from "./tcp_state.ts";

/** Names of fields that hold one number. */
type NumberField = { [K in keyof TcpSysctl]: TcpSysctl[K] extends number ? K : never }[keyof TcpSysctl];

const BIG = 0x7fffffff;

/** Name, field, least, most; the field counts in units of `scale` of the name's. */
type Row = readonly [name: string, field: NumberField, min: number, max: number, scale?: number];

const ROWS: readonly Row[] = [
  ["tcp_abort_on_overflow", "abortOnOverflow", 0, 1],
  ["tcp_adv_win_scale", "advWinScale", -31, 31],
  ["tcp_app_win", "appWin", 0, 31],
  ["tcp_autocorking", "autocorking", 0, 1],
  ["tcp_base_mss", "baseMss", 0, BIG],
  ["tcp_challenge_ack_limit", "challengeAckLimit", 0, BIG],
  ["tcp_comp_sack_delay_ns", "compSackDelayNs", 0, BIG],
  ["tcp_comp_sack_nr", "compSackNr", 0, 255],
  ["tcp_comp_sack_slack_ns", "compSackSlackNs", 0, BIG],
  ["tcp_dsack", "dsack", 0, 1],
  ["tcp_early_retrans", "earlyRetrans", 0, 4],
  ["tcp_ecn", "ecn", 0, 2],
  ["tcp_ecn_fallback", "ecnFallback", 0, 1],
  ["tcp_fastopen", "fastopen", 0, BIG],
  ["tcp_fastopen_blackhole_timeout_sec", "fastopenBlackholeTimeout", 0, BIG],
  ["tcp_fin_timeout", "finTimeout", 0, BIG, 1000],
  ["tcp_frto", "frto", 0, 2],
  ["tcp_invalid_ratelimit", "invalidRatelimit", 0, BIG],
  ["tcp_keepalive_intvl", "keepaliveIntvl", 1, 32_767, 1000],
  ["tcp_keepalive_probes", "keepaliveProbes", 1, 255],
  ["tcp_keepalive_time", "keepaliveTime", 1, 2_147_483, 1000],
  ["tcp_limit_output_bytes", "limitOutputBytes", 0, BIG],
  ["tcp_max_orphans", "maxOrphans", 0, BIG],
  ["tcp_max_reordering", "maxReordering", 0, BIG],
  ["tcp_max_syn_backlog", "maxSynBacklog", 0, BIG],
  ["tcp_max_tw_buckets", "maxTwBuckets", 0, BIG],
  ["tcp_min_rtt_wlen", "minRttWlen", 0, 86_400],
  ["tcp_min_snd_mss", "minSndMss", 48, 65_535],
  ["tcp_min_tso_segs", "minTsoSegs", 1, 255],
  ["tcp_moderate_rcvbuf", "moderateRcvbuf", 0, 1],
  ["tcp_mtu_probing", "mtuProbing", 0, 2],
  ["tcp_no_metrics_save", "noMetricsSave", 0, 1],
  ["tcp_no_ssthresh_metrics_save", "noSsthreshMetricsSave", 0, 1],
  ["tcp_notsent_lowat", "notsentLowat", 0, 0xffffffff],
  ["tcp_orphan_retries", "orphanRetries", 0, 255],
  ["tcp_pacing_ca_ratio", "pacingCaRatio", 0, 1000],
  ["tcp_pacing_ss_ratio", "pacingSsRatio", 0, 1000],
  ["tcp_probe_interval", "probeInterval", 0, BIG],
  ["tcp_probe_threshold", "probeThreshold", 0, BIG],
  ["tcp_recovery", "recovery", 0, 7],
  ["tcp_reflect_tos", "reflectTos", 0, 1],
  ["tcp_reordering", "reordering", 0, BIG],
  ["tcp_retrans_collapse", "retransCollapse", 0, 1],
  ["tcp_retries1", "retries1", 0, 255],
  ["tcp_retries2", "retries2", 0, 255],
  ["tcp_rfc1337", "rfc1337", 0, 1],
  ["tcp_rto_max_ms", "rtoMax", 1000, 120_000],
  ["tcp_rto_min_us", "rtoMinUs", 1, BIG],
  ["tcp_sack", "sack", 0, 1],
  ["tcp_shrink_window", "shrinkWindow", 0, 1],
  ["tcp_slow_start_after_idle", "slowStartAfterIdle", 0, 1],
  ["tcp_stdurg", "stdurg", 0, 1],
  ["tcp_syn_linear_timeouts", "linearTimeouts", 0, 127],
  ["tcp_syn_retries", "synRetries", 1, 127],
  ["tcp_synack_retries", "synackRetries", 0, 255],
  ["tcp_syncookies", "syncookies", 0, 2],
  ["tcp_thin_linear_timeouts", "thinLinearTimeouts", 0, 1],
  ["tcp_timestamps", "timestamps", 0, 2],
  ["tcp_tso_rtt_log", "tsoRttLog", 0, 31],
  ["tcp_tso_win_divisor", "tsoWinDivisor", 0, 255],
  ["tcp_tw_reuse", "twReuse", 0, 2],
  ["tcp_tw_reuse_delay", "twReuseDelay", 1, 60_000],
  ["tcp_window_scaling", "windowScaling", 0, 1],
  ["tcp_workaround_signed_windows", "workaroundSignedWindows", 0, 1],
];

/** Integers that fit are kept as such: one double would make a box of a field in every socket that takes it over. */
function smi(v: number): number {
  return (v | 0) === v ? v | 0 : v;
}

/** Fields that are also what new sockets begin with. */
const SHARED: Partial<Record<NumberField, keyof TcpSettings>> = {
  finTimeout: "linger2",
  keepaliveIntvl: "keepaliveIntvl",
  keepaliveProbes: "keepaliveProbes",
  keepaliveTime: "keepaliveTime",
  rtoMax: "rtoMax",
  synRetries: "synRetries",
};

/** Defines all of them; disposing the results takes them away. */
export function tcpDefineSysctls(net: Net, st: TcpState): Disposable[] {
  const s = st.sysctl;
  const out: Disposable[] = [];
  for (const [name, field, min, max, scale = 1] of ROWS) {
    const shared = SHARED[field];
    out.push(net.sysctl.define(`net.ipv4.${name}`, {
      value: s[field] / scale,
      min,
      max,
      apply: (v) => {
        const kept = smi(v * scale);
        s[field] = kept;
        if (shared !== undefined) Object.assign(st.settings, { [shared]: kept });
      },
    }));
  }
  for (const [name, field] of [["tcp_mem", "mem"], ["tcp_rmem", "rmem"], ["tcp_wmem", "wmem"]] as const) {
    out.push(net.sysctl.define(`net.ipv4.${name}`, {
      value: s[field],
      min: field === "mem" ? 0 : 1,
      max: BIG,
      apply: (_, all) => {
        s[field] = all.map(smi);
      },
    }));
  }
  out.push(net.sysctl.defineTree("net.ipv4.tcp_fastopen_key", tcpFastopenKeyText(st)));
  out.push(net.sysctl.defineTree("net.ipv4.tcp_congestion_control", {
    get: () => st.defaultCongestion.name,
    set: (_, _value, name) => {
      if (tcpSetDefaultCongestionControl(st, name)) return true;
      const takes = tcpCongestionControls(st).join(", ");
      throw new RangeError(`Cannot set net.ipv4.tcp_congestion_control to ${name}: it takes ${takes}`);
    },
    list: () => [""],
  }));
  out.push(net.sysctl.defineTree("net.ipv4.tcp_available_congestion_control", {
    get: () => tcpCongestionControls(st).join(" "),
    set: () => {
      throw new RangeError("Cannot set net.ipv4.tcp_available_congestion_control: it can only be read");
    },
    list: () => [""],
  }));
  return out;
}
